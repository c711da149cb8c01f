import os
import pathlib
import unittest

from odoo.tests import new_test_user, tagged
from odoo.tests.common import Opener, get_db_name

from .browser import committed
from .test_countdown import DIALOG, PASSWORD, CountdownCase

FOLDER = os.environ.get("SESSION_TIMEOUT_PICTURES")
OTHERS = {
    "Grace Hopper": ("grace", 27, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    "Alan Turing": (
        "alan",
        84,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
    ),
}


@unittest.skipUnless(FOLDER, "SESSION_TIMEOUT_PICTURES names no folder")
@tagged("post_install", "-at_install")
class TestPictures(CountdownCase):
    """Takes the pictures for the documentation."""

    def take(self, tab, name):
        tab.wait_while(".o_loading_indicator")
        tab.wait_until("document.fonts.ready.then(() => true)")
        tab.wait_until("[...document.images].every((image) => image.complete)")
        tab.wait_until("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(true))))")
        tab.picture(pathlib.Path(FOLDER) / f"odoo-{name}.png")

    def log_others_in(self):
        """These users and nobody else, each idle for a number of minutes."""
        self.execute("DELETE FROM session_timeout.session")
        for name, (login, idle, user_agent) in OTHERS.items():
            with committed() as env:
                user = new_test_user(env, login, groups="base.group_user", password=PASSWORD, name=name)
            self.addCleanup(self.delete_user, user.id)
            self.opener = Opener(self)
            self.opener.headers["User-Agent"] = user_agent
            params = {"db": get_db_name(), "login": login, "password": PASSWORD}
            self.make_jsonrpc_request("/web/session/authenticate", params)
            self.url_open("/odoo").raise_for_status()  # from which Odoo knows the device
            self.execute(
                """
                UPDATE session_timeout.session
                SET opened_at = opened_at - '3 hours'::interval,
                    last_activity = last_activity - %s * '1 minute'::interval
                WHERE user_name = %s
                """,
                idle,
                login,
            )

    def test_countdown(self):
        tab = self.log_in()
        self.size(tab, 1000, 560)
        self.leave_idle(275)
        self.look(tab)
        tab.wait_until(f"document.querySelector('{DIALOG}_countdown')?.innerText === '4:32'")
        self.take(tab, "countdown")

    def test_settings(self):
        self.set_limits(delay="2 hours", warning="5 minutes")
        tab = self.log_in()
        self.size(tab, 1000, 560)
        tab.wait_for("[name=session_timeout_delay]")
        tab.evaluate(
            "document.querySelector('[name=session_timeout_delay]').closest('.o_settings_container')"
            ".previousElementSibling.scrollIntoView()"
        )
        self.assert_nothing_is_cut_off(tab, ".o_setting_box")
        self.take(tab, "settings")

    def test_sessions(self):
        self.set_limits(delay="2 hours", warning="5 minutes")
        self.log_others_in()
        tab = self.log_in("/odoo/sessions")
        self.size(tab, 1280, 360)
        tab.wait_for(".o_list_view .o_data_row")
        self.assert_nothing_is_cut_off(tab, ".o_list_view table")
        self.take(tab, "sessions")
