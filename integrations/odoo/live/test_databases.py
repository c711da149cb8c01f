"""Several databases on one host, and no filter that tells them apart: only a session says which one is meant."""

from harness import ADDON, MAIN, Browser, LiveCase, Odoo


class Databases(LiveCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.odoo.stop()
        MAIN.copy("live_second", "installed")
        cls.odoo = Odoo(cls.database, "-d", f"{cls.database.name},live_second")
        cls.addClassCleanup(cls.odoo.stop)

    def logged_in(self):
        anna = Browser(self.odoo)
        anna.http.get(self.login_page, timeout=60)
        anna.log_in("anna")
        self.assertTrue(anna.is_logged_in())
        return anna

    @property
    def login_page(self):
        return f"{self.odoo.url}/web/login?db={self.database.name}&redirect=/odoo"

    def assert_form(self, page):
        self.assertEqual((page.status_code, 'name="password"' in page.text), (200, True), page.headers)

    def test_a_refused_request_leaves_the_browser_at_its_database(self):
        for path in ("/web/session/check", f"/{ADDON}/outlook", f"/{ADDON}/stay"):
            with self.subTest(path):
                anna = self.logged_in()
                self.database.idle(7300)
                anna.call(path)
                self.assert_form(anna.page("/web/login"))
                anna.log_in("anna")
                self.assertTrue(anna.is_logged_in())

    def test_the_outlook_of_a_session_whose_file_is_gone_is_an_answer(self):
        anna = self.logged_in()
        anna.file().unlink()
        anna.http.headers["X-Odoo-Database"] = self.database.name  # as the web client does
        self.assertFalse(anna.outlook()["valid"])

    def test_the_web_client_is_told_of_a_session_in_another_database(self):
        anna = self.logged_in()
        answer = anna.http.post(
            f"{self.odoo.url}/{ADDON}/outlook", json={}, headers={"X-Odoo-Database": "live_second"}, timeout=60
        )
        self.assertEqual((answer.status_code, "x-odoo-database" in answer.text), (403, True))  # what it looks for

    def test_the_login_page_of_a_database_outlasts_the_ended_session(self):
        anna = self.logged_in()
        admin = Browser(self.odoo)
        admin.http.get(self.login_page, timeout=60)
        admin.log_in("admin")
        [record] = [row[0] for row in self.database.query(
            "SELECT id FROM session_timeout_login WHERE identifier = %s", anna.identifier)]
        admin.kw("session.timeout.session", "action_log_out", [record])
        self.assertEqual(anna.files(), [])
        self.assert_form(anna.http.get(self.login_page, timeout=60))
        self.database.shell("env['session.timeout.login']._cron_tidy()\nenv.cr.commit()\n")
        self.assert_form(anna.page("/web/login"))
