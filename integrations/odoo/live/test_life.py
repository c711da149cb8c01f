"""The life of a session: what opens it, what ends it, and that it is opened once."""

import json
import re
import time

from harness import DIRECTORY, PASSWORD, Browser, LiveCase, eventually, in_parallel, requests


class Life(LiveCase):
    def setUp(self):
        super().setUp()
        self.admin = Browser(self.odoo, "admin")

    def test_a_login_opens_a_session(self):
        anna = Browser(self.odoo, "anna")
        self.assertEqual(self.database.status(anna.identifier), "active")
        self.assertEqual(
            self.database.query(
                "SELECT u.login FROM session_timeout_login AS l JOIN res_users AS u ON u.id = l.user_id "
                "WHERE l.identifier = %s", anna.identifier),
            [("anna",)],
        )

    def test_a_login_by_json_rpc_opens_a_session(self):
        anna = Browser(self.odoo)
        anna.call("/web/session/authenticate", db=self.database.name, login="anna", password=PASSWORD)
        self.assertEqual(self.database.status(anna.identifier), "active")

    def test_a_failed_login_opens_none(self):
        anna = Browser(self.odoo)
        number = self.database.value("SELECT count(*) FROM session_timeout_login")
        anna.call("/web/session/authenticate", db=self.database.name, login="anna", password="wrong")
        self.assertEqual(self.database.value("SELECT count(*) FROM session_timeout_login"), number)

    def test_a_logout_closes_it(self):
        anna = Browser(self.odoo, "anna")
        identifier = anna.identifier
        anna.page("/web/session/logout")
        self.assertIn(self.database.status(identifier), ("closed", "unknown"))
        self.assertEqual(self.database.events(identifier), ["closed"])

    def test_logging_in_again_closes_the_session_that_it_replaces(self):
        anna = Browser(self.odoo, "anna")
        identifier = anna.identifier
        anna.log_in("anna")
        self.assertNotEqual(anna.identifier, identifier)
        self.assertIn(self.database.status(identifier), ("closed", "unknown"))
        self.assertEqual(self.database.status(anna.identifier), "active")

    def test_logging_in_with_a_second_factor_closes_the_session_that_it_replaces(self):
        secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
        self.set_totp("bert", secret)
        self.addCleanup(self.set_totp, "bert", False)
        anna = Browser(self.odoo, "anna")
        identifier = anna.identifier
        self.assertEqual(anna.log_in("bert").headers["Location"], "/web/login/totp")
        self.assertEqual(self.database.events(identifier), ["closed"])
        number = self.database.value("SELECT count(*) FROM session_timeout.session")
        anna.second_factor(secret)
        self.assertEqual(self.database.status(anna.identifier), "active")
        self.assertEqual(self.database.value("SELECT count(*) FROM session_timeout.session"), number + 1)
        self.assertTrue(anna.is_logged_in())

    def set_totp(self, login, secret):
        self.database.shell(
            f"env['res.users'].search([('login', '=', {login!r})]).totp_secret = {secret!r}\nenv.cr.commit()\n"
        )

    def test_a_forged_cookie_closes_nobody_s_session(self):
        anna = Browser(self.odoo, "anna")
        forged = anna.identifier + "A" * 42  # the first half is in the log of devices, and no secret
        requests.get(
            f"{self.odoo.url}/web/session/logout", cookies={"session_id": forged}, allow_redirects=False, timeout=30
        )
        self.assertTrue(anna.is_logged_in())

    def test_soft_rotation_keeps_it(self):
        anna = Browser(self.odoo, "anna")
        sid, opened = anna.sid, self.database.value("SELECT opened_at FROM session_timeout.peek_session(%s)", anna.identifier)
        content = anna.content()
        content["create_time"] = time.time() - 4 * 3600
        anna.file().write_text(json.dumps(content))
        self.assertTrue(anna.is_logged_in())
        self.assertNotEqual(anna.sid, sid)
        self.assertEqual(anna.sid[:42], sid[:42])
        self.assertTrue(anna.is_logged_in())
        self.assertEqual(
            self.database.value("SELECT opened_at FROM session_timeout.peek_session(%s)", anna.identifier), opened
        )
        self.database.idle(7300)
        self.assert_expired(anna.call("/web/session/check"))
        self.assertEqual(anna.files(), [])  # neither the old session id's file nor the new one's

    def test_a_cookie_from_before_a_soft_rotation_closes_nothing(self):
        anna, stale = Browser(self.odoo, "anna"), Browser(self.odoo)
        stale.http.cookies.set("session_id", anna.sid, domain="127.0.0.1")
        content = anna.content()
        content["create_time"] = time.time() - 4 * 3600
        anna.file().write_text(json.dumps(content))
        self.assertTrue(anna.is_logged_in())  # rotates
        content = stale.content()
        content["deletion_time"] = time.time() - 1
        stale.file().write_text(json.dumps(content))
        self.assertFalse(stale.is_logged_in())
        self.assertTrue(anna.is_logged_in())
        self.assertEqual(self.database.status(anna.identifier), "active")

    def test_revoking_a_device_closes_its_session(self):
        anna, elsewhere = Browser(self.odoo, "anna"), Browser(self.odoo, "anna")
        elsewhere.is_logged_in()
        code = (
            f"device = env['res.device'].search([('session_identifier', '=', {elsewhere.identifier!r})])\n"
            "assert device\ndevice._revoke()\nenv.cr.commit()\n"
        )
        self.database.shell(code)
        self.assertIn(self.database.status(elsewhere.identifier), ("closed", "unknown"))
        self.assertFalse(elsewhere.is_logged_in())
        self.assertTrue(anna.is_logged_in())

    def test_a_new_password_ends_every_session_but_the_present_one(self):
        bert, elsewhere = Browser(self.odoo, "bert"), Browser(self.odoo, "bert")
        uid = bert.content()["uid"]
        self.addCleanup(self.admin.kw, "res.users", "write", [uid], {"password": PASSWORD})
        answer = bert.kw("res.users", "change_password", PASSWORD, "battery staple")
        self.assertIs(answer.get("result"), True, answer)
        self.assertIn(self.database.status(elsewhere.identifier), ("closed", "unknown"))
        self.assertEqual(self.database.status(bert.identifier), "active")

    def test_a_superuser_s_new_password_ends_every_session_but_the_present_one(self):
        elsewhere = Browser(self.odoo, "admin")
        uid = self.admin.content()["uid"]
        self.admin.page("/web/become")
        self.assertNotIn("error", self.admin.kw("res.users", "write", [uid], {"password": "admin"}))
        self.assertTrue(self.admin.is_logged_in())
        self.assertIn(self.database.status(elsewhere.identifier), ("closed", "unknown"))

    def test_archiving_a_user_ends_their_sessions(self):
        bert = Browser(self.odoo, "bert")
        uid = bert.content()["uid"]
        self.addCleanup(self.admin.kw, "res.users", "write", [uid], {"active": True})
        self.admin.kw("res.users", "write", [uid], {"active": False})
        self.assertEqual(self.database.events(bert.identifier), ["revoked"])
        self.assertFalse(bert.is_logged_in())

    def test_a_session_logged_out_from_the_list_is_out_at_once(self):
        anna, elsewhere = Browser(self.odoo, "anna"), Browser(self.odoo, "anna")
        [record] = [row["id"] for row in anna.kw("session.timeout.session", "search_read", [], ["is_current"])["result"]
                    if row["id"] == self.record(elsewhere)]
        anna.kw("session.timeout.session", "action_log_out", [record])
        self.assertEqual(elsewhere.files(), [])
        self.assertFalse(elsewhere.is_logged_in())
        self.assertTrue(anna.is_logged_in())

    def record(self, browser):
        return self.database.value("SELECT id FROM session_timeout_login WHERE identifier = %s", browser.identifier)

    # ---- The sessions that Odoo makes for what prints a report ----

    def report(self, browser):
        """Beside a user's session, as ir.actions.report makes it, and deletes its file afterwards."""
        content = {**browser.content(), "debug": "", "_trace_disable": True}
        shown = self.database.shell(
            "import json\nfrom odoo.http import root\nfrom odoo.service import security\n"
            f"session = root.session_store.new()\nsession.update(json.loads({json.dumps(content)!r}))\n"
            "session.session_token = security.compute_session_token(session, env)\n"
            "root.session_store.save(session)\nprint('SID=' + session.sid)\n"
        )
        report = Browser(self.odoo)
        report.http.cookies.set("session_id", re.search("SID=([A-Za-z0-9_-]{84})", shown)[1], domain="127.0.0.1")
        return report

    def test_a_report_s_session_is_served_and_soon_over(self):
        anna = Browser(self.odoo, "anna")
        report = self.report(anna)
        self.assertEqual(report.page("/web/image/res.company/1/logo").status_code, 200)
        listed = [row["id"] for row in anna.kw("session.timeout.session", "search_read", [], ["is_current"])["result"]]
        self.assertIn(self.record(anna), listed)
        self.assertNotIn(self.record(report), listed)
        self.database.idle(301)
        self.assertTrue(anna.is_logged_in())
        self.assert_expired(report.call("/web/session/check"))

    def test_a_report_s_session_ends_with_its_user_s(self):
        bert = Browser(self.odoo, "bert")
        report = self.report(bert)
        self.assertTrue(report.is_logged_in())
        self.addCleanup(self.admin.kw, "res.users", "write", [bert.content()["uid"]], {"active": True})
        self.admin.kw("res.users", "write", [bert.content()["uid"]], {"active": False})
        self.assertIn(self.database.status(report.identifier), ("closed", "unknown"))

    def test_a_superuser_s_report_is_served(self):
        self.admin.page("/web/become")
        self.assertEqual(self.admin.content()["uid"], 1)
        self.assertEqual(self.report(self.admin).page("/web/image/res.company/1/logo").status_code, 200)

    # ---- Sessions that were logged in unseen ----

    def unseen(self, login="anna"):
        """A session as it was before the addon was installed."""
        browser = Browser(self.odoo, login)
        self.forget(browser)
        return browser

    def forget(self, browser):
        content = browser.content()
        content.pop("inactive_session_timeout_pg", None)
        browser.file().write_text(json.dumps(content))
        self.database.query("DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest(%s)", browser.identifier)
        self.database.query("DELETE FROM session_timeout_login WHERE identifier = %s", browser.identifier)

    def test_a_session_from_before_is_adopted(self):
        anna = self.unseen()
        self.assertTrue(anna.is_logged_in())
        self.assertEqual(self.database.status(anna.identifier), "active")

    def test_a_superuser_s_session_from_before_is_adopted(self):
        self.admin.page("/web/become")
        self.forget(self.admin)
        self.assertTrue(self.admin.is_logged_in())

    def test_a_session_from_before_is_adopted_once(self):
        anna = self.unseen()
        file, content = anna.file(), anna.file().read_text()
        self.assertTrue(anna.is_logged_in())
        self.database.query("DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest(%s)", anna.identifier)
        file.write_text(content)  # not a word in it that it was adopted
        self.assert_expired(anna.call("/web/session/check"))

    def test_parallel_first_requests_adopt_it_once_and_are_all_served(self):
        for _ in range(5):
            anna = self.unseen()
            cookies = {"session_id": anna.sid}
            answers = in_parallel(6, lambda _: requests.post(
                f"{self.odoo.url}/web/session/check", json={"jsonrpc": "2.0", "params": {}}, cookies=cookies, timeout=60
            ).json())
            self.assertEqual([answer.get("error") for answer in answers], [None] * 6)
            self.assertEqual(
                self.database.value("SELECT count(*) FROM session_timeout_login WHERE identifier = %s", anna.identifier), 1
            )

    def test_a_request_that_fails_leaves_the_session_adopted(self):
        anna = self.unseen()
        self.assertIn("error", anna.kw("res.users", "no_such_method"))
        self.assertEqual(self.database.status(anna.identifier), "active")

    def test_an_ended_session_is_adopted_by_no_websocket(self):
        anna = self.unseen()
        self.assertTrue(anna.is_logged_in())
        connection = anna.websocket()
        self.database.query("DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest(%s)", anna.identifier)
        connection.send('{"event_name": "subscribe", "data": {"channels": [], "last": 0}}')
        eventually(lambda: anna.files() == [], 5)
        self.assertIn(self.database.status(anna.identifier), ("closed", "unknown"))

    def test_the_files_of_sessions_that_the_worker_ended_are_deleted(self):
        anna, elsewhere = Browser(self.odoo, "anna"), Browser(self.odoo, "bert")
        self.database.idle(7300, "anna")
        self.database.query("SELECT session_timeout.purge_sessions()")
        self.database.shell("env['session.timeout.login']._cron_tidy()\nenv.cr.commit()\n")
        self.assertEqual(anna.files(), [])
        self.assertNotEqual(elsewhere.files(), [])
        self.assertTrue(elsewhere.is_logged_in())

    # ---- What stays of a session that has ended ----

    def tidy(self, data=None):
        """The scheduled action, on a host with this data directory."""
        self.database.shell(
            "env['session.timeout.login']._cron_tidy()\nenv.cr.commit()\n", environment={"ODOO_DATA": str(data)} if data else None
        )

    def ended_long_ago(self, browser, ago="8 days"):
        self.database.query(
            "UPDATE session_timeout_login SET ended_at = ended_at - %s::interval WHERE identifier = %s", ago, browser.identifier
        )

    def test_an_expired_session_whose_file_is_on_another_host_is_never_adopted(self):
        anna = Browser(self.odoo, "anna")
        elsewhere = DIRECTORY / "elsewhere"
        elsewhere.mkdir()
        self.database.idle(7300, "anna")
        self.database.query("SELECT session_timeout.purge_sessions()")
        self.tidy(elsewhere)
        self.ended_long_ago(anna)
        self.tidy(elsewhere)
        self.assertIsNone(self.record(anna))
        self.assertNotEqual(anna.files(), [])
        self.assert_expired(anna.call("/web/session/check"))
        self.assertEqual(anna.files(), [])

    def test_the_record_stays_as_long_as_a_cookie_does(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300, "anna")
        self.database.query("SELECT session_timeout.purge_sessions()")
        self.tidy()
        self.ended_long_ago(anna, "25 hours")
        self.tidy()
        self.assertIsNotNone(self.record(anna))
        self.ended_long_ago(anna)
        self.tidy()
        self.assertIsNone(self.record(anna))

    def test_a_session_s_file_says_that_it_was_opened(self):
        anna = Browser(self.odoo, "anna")
        mark = anna.content()["inactive_session_timeout_pg"]
        content = anna.content()
        content["create_time"] = time.time() - 4 * 3600
        anna.file().write_text(json.dumps(content))
        self.assertTrue(anna.is_logged_in())  # rotates
        self.assertEqual(anna.content()["inactive_session_timeout_pg"], mark)
        adopted = self.unseen()
        self.assertNotIn("inactive_session_timeout_pg", adopted.content())
        self.assertTrue(adopted.is_logged_in())
        self.assertIn("inactive_session_timeout_pg", adopted.content())

    def test_a_session_opened_by_an_installation_that_is_gone_is_adopted(self):
        anna = Browser(self.odoo, "anna")
        content = anna.content()
        self.forget(anna)
        content["inactive_session_timeout_pg"][0] = "gone"
        anna.file().write_text(json.dumps(content))
        self.assertTrue(anna.is_logged_in())
        self.assertEqual(self.database.status(anna.identifier), "active")
