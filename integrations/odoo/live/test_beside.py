"""Beside other modules that look after sessions: OCA's session_db, and Odoo's own auth_timeout."""

import json
import time

from harness import MAIN, Browser, LiveCase, Odoo


class SessionDb(LiveCase):
    """Sessions are rows of a table in a database of their own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.odoo.stop()
        MAIN.query("CREATE DATABASE live_store", database="postgres")
        cls.odoo = Odoo(
            cls.database, "--load", "base,web,session_db",
            environment={"SESSION_DB_URI": f"postgresql://odoo@/live_store?host={MAIN.directory}"},
        )
        cls.addClassCleanup(cls.odoo.stop)

    def stored(self, browser):
        return MAIN.query("SELECT sid FROM http_sessions WHERE sid LIKE %s || '%%'", browser.identifier, database="live_store")

    def test_a_session_is_opened_checked_and_refused(self):
        anna = Browser(self.odoo, "anna")
        self.assertEqual(len(self.stored(anna)), 1)
        self.assertTrue(anna.is_logged_in())
        self.database.idle(7300)
        self.assert_expired(anna.call("/web/session/check"))
        self.assertEqual(self.stored(anna), [])

    def test_a_page_leads_to_the_login(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        self.assertEqual(anna.page().headers["Location"], "/web/login?redirect=%2Fodoo%3F")

    def test_a_logout_closes_the_session(self):
        anna = Browser(self.odoo, "anna")
        identifier = anna.identifier
        anna.page("/web/session/logout")
        self.assertEqual(self.database.events(identifier), ["closed"])


class AuthTimeout(LiveCase):
    """Odoo's own limits, per group of users, in minutes."""

    def test_a_session_that_it_ends_is_closed(self):
        admin, anna = Browser(self.odoo, "admin"), Browser(self.odoo, "anna")
        [group] = admin.kw("ir.model.data", "search_read", [["module", "=", "base"], ["name", "=", "group_user"]],
                           ["res_id"])["result"]
        answer = admin.kw("res.groups", "write", [group["res_id"]], {"lock_timeout": 60})
        self.assertNotIn("error", answer)
        self.addCleanup(admin.kw, "res.groups", "write", [group["res_id"]], {"lock_timeout": 0})
        identifier, content = anna.identifier, anna.content()
        content["create_time"] = time.time() - 2 * 3600
        anna.file().write_text(json.dumps(content))
        self.assertEqual(anna.page("/web/webclient/load_menus").status_code, 303)
        self.assertEqual(self.database.events(identifier), ["closed"])

    def test_a_session_within_its_limits_expires_by_ours(self):
        anna = Browser(self.odoo, "anna")
        self.assertTrue(anna.is_logged_in())
        self.database.idle(7300)
        self.assert_expired(anna.call("/web/session/check"))
