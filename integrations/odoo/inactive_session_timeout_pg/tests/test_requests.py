from unittest.mock import patch

from odoo.tests import tagged

from ..models import session_timeout_login
from .common import STORED_SESSION_BYTES, HttpCase, new_test_user


@tagged("post_install", "-at_install")
class TestRequests(HttpCase):
    """Requests in Odoo's test mode, in which all cursors share the test's transaction: as other modules' tests make them."""

    def setUp(self):
        super().setUp()
        self.anna = new_test_user(self.env, "anna")
        self.authenticate("anna", "anna")

    def count_partners(self):
        return self.make_jsonrpc_request(
            "/web/dataset/call_kw/res.partner/search_count",
            {"model": "res.partner", "method": "search_count", "args": [[]], "kwargs": {}},
        )

    def status(self):
        identifier = self.session.sid[:STORED_SESSION_BYTES]
        self.env.cr.execute("SELECT status FROM session_timeout.peek_session(%s)", (identifier,))
        return self.env.cr.fetchone()[0]

    def test_a_session_is_adopted_by_a_request_that_only_reads(self):
        self.assertEqual(self.status(), "unknown")
        self.assertGreater(self.count_partners(), 0)
        self.assertEqual(self.status(), "active")

    def test_an_ended_session_is_refused_by_a_request_that_only_reads(self):
        self.count_partners()
        self.env.cr.execute("SELECT session_timeout.close_user_sessions('anna')")
        self.assertEqual(self.url_open("/web/webclient/load_menus", allow_redirects=False).status_code, 303)

    def test_a_session_whose_limit_was_raised_while_it_was_refused_goes_on(self):
        self.count_partners()
        with patch.object(session_timeout_login, "LOOK", "SELECT false, false"):  # as it was before
            answer = self.url_open("/bus/has_missed_notifications", json={"params": {"last_notification_id": 1}}).json()
        self.assertIn("result", answer)
        self.assertEqual(self.status(), "active")
        self.assertGreater(self.count_partners(), 0)
