import time

from odoo.tests import tagged

from .browser import PATIENCE, committed
from .test_countdown import DIALOG, LOGIN, CountdownCase

MODULE = "inactive_session_timeout_pg"
LANGUAGES = ("en_US", "de_DE", "fr_FR", "it_IT")


@tagged("post_install", "-at_install")
class TestLooks(CountdownCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with committed() as env:
            languages = env["res.lang"].with_context(active_test=False).search([("code", "in", LANGUAGES), ("active", "=", False)])
            languages.active = True
            cls.addClassCleanup(cls.deactivate, languages.ids)
            env["ir.module.module"]._load_module_terms([MODULE], LANGUAGES)

    @classmethod
    def deactivate(cls, ids):
        with committed() as env:
            env["res.users"].search([("login", "=", LOGIN)]).lang = "en_US"
            env["res.lang"].browse(ids).active = False

    def test_list_and_dialog_have_room_for_each_language(self):
        tab = self.log_in("/odoo/sessions")
        for language in LANGUAGES:
            with committed() as env:
                env["res.users"].search([("login", "=", LOGIN)]).lang = language
            for width, view in ((1280, ".o_list_view"), (375, ".o_kanban_view")):
                with self.subTest(language=language, width=width):
                    self.size(tab, width, 667, mobile=width < 500)
                    tab.go("about:blank")
                    tab.go(self.base_url() + "/odoo/sessions")
                    tab.wait_for(f"{view} .badge")
                    self.assert_nothing_is_cut_off(tab, view)
                    self.assertLessEqual(tab.evaluate("document.querySelector('.o_content').scrollWidth"), width)
                    self.assert_dialog_has_room(tab)

    def assert_dialog_has_room(self, tab):
        deadline = time.monotonic() + PATIENCE
        while not tab.evaluate(f"Boolean(document.querySelector('{DIALOG}'))"):
            self.assertLess(time.monotonic(), deadline, "no warning")
            self.leave_idle(200)  # once more where the page has asked for something meanwhile
            self.look(tab)
            time.sleep(0.5)
        self.assert_nothing_is_cut_off(tab, DIALOG)
        tops = tab.evaluate(
            f"[...document.querySelectorAll('{DIALOG} .modal-footer .btn')].map((button) => button.offsetTop)"
        )
        self.assertEqual((len(tops), len(set(tops))), (2, 1), "the buttons are in one row")

    def test_durations_say_their_units(self):
        self.set_limits(delay=900, warning=300)
        tab = self.log_in("/odoo/sessions")
        for field, duration in (("idle_for", "0 min"), ("expires_in", "15 min")):
            tab.wait_until(f"document.querySelector('.o_data_row [name={field}]').innerText.trim() === '{duration}'")
