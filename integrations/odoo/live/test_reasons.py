"""What is said of why a session has ended: on the login page, and to who asks by JSON-RPC."""

from harness import PASSWORD, Browser, LiveCase

INACTIVE = "Your session has ended because you were inactive. Log in to continue where you left off."
TOO_OLD = "Your session has reached its longest duration. Log in to continue where you left off."
CHANGED = "Your session has ended because your password, your login or your second factor was changed. Log in again."
ARCHIVED = "Your account has been deactivated. Ask your administrator."
BY_ADMINISTRATOR = "An administrator has logged you out."
BY_ONESELF = "You have logged this session out."


class Reasons(LiveCase):
    def setUp(self):
        super().setUp()
        self.admin = Browser(self.odoo, "admin")

    def assert_reason(self, shown, message, end, login="bert"):
        """After the same end, the first answer may be to a page or to JSON-RPC; the login page knows in both cases."""
        browser, by_rpc = Browser(self.odoo, login), Browser(self.odoo, login)
        for one in (browser, by_rpc):
            end(one)
        self.assertEqual(browser.why_ended(), shown)
        self.assertEqual(browser.why_ended("/web/login?redirect=/odoo"), shown)  # as long as nobody logs in
        self.assertEqual(by_rpc.call("/web/session/check")["error"]["data"]["message"], message)
        self.assertEqual(by_rpc.why_ended("/web/login?redirect=/odoo"), shown)

    def log_out_from_the_list(self, who, browser):
        [record] = self.database.query("SELECT id FROM session_timeout_login WHERE identifier = %s", browser.identifier)
        self.assertNotIn("error", who.kw("session.timeout.session", "action_log_out", list(record)))

    def write(self, **values):
        self.assertNotIn("error", self.admin.kw("res.users", "write", [self.uid()], values))

    def uid(self):
        return self.database.value("SELECT id FROM res_users WHERE login = 'bert'")

    def test_inactive(self):
        self.assert_reason(INACTIVE, "Session expired: idle for too long", lambda _: self.database.idle(7300, "bert"))

    def test_inactive_and_found_by_the_worker(self):
        def end(browser):
            self.database.idle(7300, "bert")
            self.database.query("SELECT session_timeout.purge_sessions()")

        self.assert_reason(INACTIVE, "Session expired: idle for too long", end)

    def test_inactive_though_the_password_was_changed_afterwards(self):
        browser = Browser(self.odoo, "bert")
        self.database.idle(7300, "bert")
        self.database.query("SELECT session_timeout.check_session(%s)", browser.identifier)  # as another tab does
        self.write(password=PASSWORD)
        self.assertEqual(browser.why_ended("/web/login"), INACTIVE)

    def test_too_old(self):
        self.addCleanup(self.database.set_param, "absolute_delay", "0")

        def end(browser):
            self.database.set_param("absolute_delay", "8 hours")
            self.database.query(
                "UPDATE session_timeout.session SET opened_at = opened_at - interval '9 hours' WHERE user_name = 'bert'"
            )

        self.assert_reason(TOO_OLD, "Session expired: older than the absolute delay", end)

    def test_a_password_set_by_an_administrator(self):
        self.assert_reason(
            CHANGED, "Session ended: the user's password or another detail of the account was changed",
            lambda _: self.write(password=PASSWORD),
        )

    def test_one_s_own_new_password(self):
        # Odoo itself refuses the session with which it was changed.
        self.addCleanup(self.write, password=PASSWORD)
        bert, elsewhere = Browser(self.odoo, "bert"), Browser(self.odoo, "bert")
        self.assertIs(bert.kw("res.users", "change_password", PASSWORD, "battery staple").get("result"), True)
        messages = [bert.call("/web/session/check")["error"]["data"]["message"] for _ in range(2)]
        self.assertEqual(messages[0], "Session expired")
        self.assertEqual(messages[1], "Session ended: the user's password or another detail of the account was changed")
        self.assertEqual([bert.why_ended("/web/login"), elsewhere.why_ended()], [CHANGED, CHANGED])

    def test_an_archived_user(self):
        self.addCleanup(self.write, active=True)

        browser = Browser(self.odoo, "bert")
        self.write(active=False)
        self.assertEqual(browser.call("/web/session/check")["error"]["data"]["message"], "Session ended: the user is archived")
        self.assertEqual(browser.why_ended("/web/login"), ARCHIVED)

    def test_logged_out_by_an_administrator(self):
        bert = Browser(self.odoo, "bert")
        self.log_out_from_the_list(self.admin, bert)
        self.assertEqual(bert.why_ended("/web/login?redirect=/odoo"), BY_ADMINISTRATOR)

    def test_logged_out_by_oneself_from_elsewhere(self):
        bert = Browser(self.odoo, "bert")
        elsewhere = Browser(self.odoo, "bert")
        self.log_out_from_the_list(bert, elsewhere)
        self.assertEqual(elsewhere.why_ended("/web/login"), BY_ONESELF)

    def test_a_portal_user(self):
        code = (
            f"env['res.users'].create({{'name': 'Paul', 'login': 'paul', 'password': {PASSWORD!r}, "
            "'group_ids': [(6, 0, [env.ref('base.group_portal').id])]})\nenv.cr.commit()\n"
        )
        self.database.shell(code)
        paul = Browser(self.odoo, "paul")
        self.database.idle(7300, "paul")
        self.assertEqual(paul.why_ended("/no-such-page"), INACTIVE)
        with self.subTest("whose session's file is gone"):
            paul = Browser(self.odoo, "paul")
            self.database.idle(7300, "paul")
            self.database.query("SELECT session_timeout.purge_sessions()")
            self.database.shell("env['session.timeout.login']._cron_tidy()\nenv.cr.commit()\n")
            self.assertEqual(paul.files(), [])
            self.assertEqual(paul.why_ended("/web/login?redirect=/my"), INACTIVE)

    def test_a_login_forgets_the_reason(self):
        bert = Browser(self.odoo, "bert")
        self.database.idle(7300, "bert")
        self.assertEqual(bert.why_ended(), INACTIVE)
        bert.log_in("bert")
        self.assertTrue(bert.is_logged_in())
        bert.page("/web/session/logout")
        self.assertIsNone(bert.why_ended("/web/login"))

    def test_who_logs_out_is_told_nothing(self):
        bert = Browser(self.odoo, "bert")
        bert.page("/web/session/logout")
        self.assertIsNone(bert.why_ended("/web/login"))
