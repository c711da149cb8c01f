from unittest.mock import patch

from odoo.exceptions import AccessError
from odoo.tests import tagged

from ..models import session_timeout_login
from .common import SessionTimeoutCase, new_test_user


@tagged("post_install", "-at_install")
class TestSessions(SessionTimeoutCase):
    def setUp(self):
        super().setUp()
        self.anna = new_test_user(self.env, "anna")
        self.bert = new_test_user(self.env, "bert")
        self.admin = new_test_user(self.env, "head", groups="base.group_user,base.group_system")
        self.annas = self.opened(self.anna, "anna-1") + self.opened(self.anna, "anna-2")
        self.berts = self.opened(self.bert, "bert-1")

    def seen_by(self, user):
        return self.env["session.timeout.session"].with_user(user).search([])

    def test_the_list_says_who_since_when_idle_for_and_ends_in(self):
        self.env.cr.execute(
            "UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '30 minutes' "
            "WHERE user_name = 'bert'"
        )
        [session] = self.seen_by(self.bert)
        self.assertEqual(session.user_id, self.bert)
        self.assertTrue(session.opened_at)
        self.assertAlmostEqual(session.idle_for, 0.5, places=2)
        self.assertAlmostEqual(session.expires_in, 1.5, places=2)

    def test_the_list_names_the_device(self):
        self.env["res.device.log"].sudo().create(
            {
                "session_identifier": self.berts.identifier,
                "user_id": self.bert.id,
                "browser": "firefox",
                "platform": "linux",
                "ip_address": "192.0.2.7",
                "last_activity": "2026-01-01",
            }
        )
        [session] = self.seen_by(self.bert)
        self.assertEqual((session.device, session.ip_address), ("Firefox Linux", "192.0.2.7"))

    def test_each_user_sees_their_own(self):
        self.assertEqual(self.seen_by(self.anna).user_id, self.anna)
        self.assertEqual(len(self.seen_by(self.anna)), 2)

    def test_an_administrator_sees_all(self):
        self.assertLessEqual(self.anna + self.bert, self.seen_by(self.admin).user_id)

    def test_who_manages_access_rights_alone_sees_their_own(self):
        # As with Odoo's own devices.
        manager = new_test_user(self.env, "manager", groups="base.group_user,base.group_erp_manager")
        self.opened(manager, "manager-1")
        self.assertEqual(self.seen_by(manager).user_id, manager)

    def test_a_user_logs_out_a_session_of_theirs(self):
        self.seen_by(self.anna).filtered(lambda session: session.id == self.annas[0].id).action_log_out()
        self.assertFalse(self.is_open(self.annas[0]))
        self.assertTrue(self.is_open(self.annas[1]))

    def test_a_user_logs_out_nobody_else(self):
        with self.assertRaises(AccessError):
            self.env["session.timeout.session"].with_user(self.anna).browse(self.berts.id).action_log_out()
        self.assertTrue(self.is_open(self.berts))

    def test_an_administrator_logs_out_all_of_a_user(self):
        self.seen_by(self.admin).filtered(lambda session: session.user_id == self.anna)[0].action_log_out_everywhere()
        self.assertFalse(any(self.is_open(login) for login in self.annas))
        self.assertTrue(self.is_open(self.berts))

    def test_a_session_that_was_logged_out_is_not_listed(self):
        self.seen_by(self.bert).action_log_out()
        self.env.invalidate_all()
        self.assertFalse(self.seen_by(self.bert))

    def test_a_device_whose_session_was_logged_out_is_revoked(self):
        device = self.env["res.device.log"].sudo().create(
            {"session_identifier": self.berts.identifier, "user_id": self.bert.id, "last_activity": "2026-01-01"}
        )
        self.seen_by(self.bert).action_log_out()
        self.assertTrue(device.revoked)

    def test_a_portal_user_has_no_list(self):
        portal = new_test_user(self.env, "portal", groups="base.group_portal")
        with self.assertRaises(AccessError):
            self.seen_by(portal)

    def test_the_records_of_logins_are_closed_to_everybody(self):
        with self.assertRaises(AccessError):
            self.env["session.timeout.login"].with_user(self.env.ref("base.user_admin")).search([])

    def tidy(self):
        with self.enter_registry_test_mode():
            self.env.ref("inactive_session_timeout_pg.ir_cron_tidy").method_direct_trigger()

    def test_an_ended_session_leaves_its_record_for_a_while(self):
        self.env.cr.execute("SELECT session_timeout.close_session(%s)", (self.berts.identifier,))
        self.tidy()
        self.assertTrue(self.berts.ended_at)
        self.assertFalse(self.annas[0].ended_at)
        self.berts.sudo().ended_at = "2026-01-01"
        self.tidy()
        self.assertFalse(self.berts.exists())

    def test_any_number_of_ended_sessions_is_tidied_away_at_once(self):
        ended = self.annas + self.berts
        self.env.cr.execute(
            "SELECT session_timeout.close_session(i) FROM unnest(%s) AS i", (ended.mapped("identifier"),)
        )
        with patch.object(session_timeout_login, "TIDY_BATCH", 2):
            self.tidy()
        self.assertTrue(all(ended.mapped("ended_at")))
