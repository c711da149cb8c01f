import json

from odoo.tests import tagged

from .browser import committed
from .test_countdown import DELAY, CountdownCase


@tagged("post_install", "-at_install")
class TestSettings(CountdownCase):
    def write(self, tab, name, value):
        selector = f"[name={name}] :is(input, textarea)"
        tab.wait_for(selector)
        tab.evaluate(
            f"""(() => {{
                const input = document.querySelector({json.dumps(selector)});
                input.value = {json.dumps(value)};
                input.dispatchEvent(new InputEvent("input", {{ bubbles: true }}));
                input.dispatchEvent(new Event("change", {{ bubbles: true }}));
            }})()"""
        )

    def reset(self):
        """Odoo's own row, too."""
        with committed() as env:
            env["ir.config_parameter"].set_param(DELAY, "7200")

    def stored(self, key):
        return self.execute("SELECT session_timeout.get_param(%s)", key)[0]

    def test_a_delay_of_seconds_is_shown_in_words_and_wants_a_confirmation(self):
        self.addCleanup(self.reset)
        tab = self.log_in()
        self.write(tab, "session_timeout_delay", "5")
        tab.wait_until("document.querySelector('[name=session_timeout_delay_means]').innerText === '5 seconds'")
        tab.click(".o_form_button_save")
        tab.wait_until("document.body.innerText.includes('everybody would be logged out that soon')")
        self.assertEqual(self.stored(DELAY), "3600")
        tab.click(".modal .btn-primary")
        tab.wait_while(".modal")
        tab.click("[name=session_timeout_confirmed] input")
        tab.click(".o_form_button_save")
        tab.wait_until("!document.querySelector('.o_form_button_save')?.offsetParent || location.pathname === '/web/login'")
        self.assertEqual(self.stored(DELAY), "5")
