from odoo.tests import tagged

from .common import SessionTimeoutCase, new_test_user


@tagged("post_install", "-at_install")
class TestUsers(SessionTimeoutCase):
    def setUp(self):
        super().setUp()
        self.anna = new_test_user(self.env, "anna")
        self.bert = new_test_user(self.env, "bert")
        self.annas = self.opened(self.anna, "anna-1")
        self.berts = self.opened(self.bert, "bert-1")

    def test_a_new_password_ends_the_sessions_of_that_user(self):
        self.anna.password = "anna-anna-2"
        self.env.flush_all()
        self.assertFalse(self.is_open(self.annas))
        self.assertTrue(self.is_open(self.berts))

    def test_archiving_a_user_ends_their_sessions(self):
        self.anna.action_archive()
        self.assertFalse(self.is_open(self.annas))

    def test_a_new_login_ends_the_sessions_opened_under_the_old_one(self):
        self.anna.login = "hanna"
        self.assertFalse(self.is_open(self.annas))

    def test_deleting_a_user_ends_their_sessions(self):
        identifier = self.annas.identifier
        self.anna.unlink()
        self.assertEqual(self.row("SELECT valid FROM session_timeout.peek_session(%s)", identifier), (False,))

    def test_another_change_of_a_user_ends_nothing(self):
        self.anna.write({"name": "Anna", "active": True})
        self.assertTrue(self.is_open(self.annas))

    def test_a_login_that_is_written_as_it_was_ends_nothing(self):
        (self.anna + self.bert).write({"active": True})
        self.anna.write({"login": "anna"})
        self.assertTrue(self.is_open(self.annas))

    def test_rolled_back_a_new_password_ends_nothing(self):
        with self.env.cr.savepoint() as savepoint:
            self.anna.password = "anna-anna-2"
            self.env.flush_all()
            savepoint.rollback()
        self.assertTrue(self.is_open(self.annas))

    def test_a_session_is_opened_once(self):
        self.env.cr.execute("SELECT session_timeout.close_session(%s)", (self.annas.identifier,))
        self.assertFalse(self.env["session.timeout.login"]._adopt(self.env.cr, self.session(self.anna, "anna-1")))
        self.assertFalse(self.is_open(self.annas))

    def test_no_session_is_opened_for_an_archived_user(self):
        self.anna.action_archive()
        self.assertFalse(self.env["session.timeout.login"]._adopt(self.env.cr, self.session(self.anna, "anna-2")))
