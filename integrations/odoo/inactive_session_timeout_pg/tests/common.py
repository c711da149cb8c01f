from odoo.http import Session
from odoo.tests import HttpCase, TransactionCase, new_test_user

from odoo.addons.inactive_session_timeout_pg.models.session_timeout_login import STORED_SESSION_BYTES


class SessionTimeoutCase(TransactionCase):
    def row(self, statement, *values):
        self.env.flush_all()
        self.env.cr.execute(statement, values)
        return self.env.cr.fetchone()

    def extension_value(self, key):
        [value] = self.row("SELECT max(value) FROM session_timeout.config_parameter WHERE key = %s", key)
        return value

    def opened(self, user, name):
        """A session of a user, as a login leaves it."""
        session = self.session(user, name)
        logins = self.env["session.timeout.login"]
        self.assertTrue(logins._adopt(self.env.cr, session))
        return logins.sudo().search([("identifier", "=", session.sid[:STORED_SESSION_BYTES])])

    def session(self, user, name):
        return Session({"uid": user.id}, name.ljust(2 * STORED_SESSION_BYTES, "x"))

    def is_open(self, login):
        [valid] = self.row("SELECT valid FROM session_timeout.peek_session(%s)", login.identifier)
        return valid


__all__ = ["STORED_SESSION_BYTES", "HttpCase", "SessionTimeoutCase", "new_test_user"]
