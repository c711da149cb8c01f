from odoo import models

from .session_timeout_login import ACCOUNT_CHANGED, ARCHIVED

COMPARED = {"active", "login"}


class ResUsers(models.Model):
    _inherit = "res.users"

    def write(self, vals):
        # What makes Odoo's own session token void: a new password, login or second factor, and archiving. The same login
        # may be written time and again, by an import or a directory; the others are not to be compared.
        ending = self._get_session_token_fields() & vals.keys()
        changed = self.sudo().filtered(
            lambda user: any(name not in COMPARED or user[name] != vals[name] for name in ending)
        )
        logins = changed.mapped("login")
        res = super().write(vals)
        changed._end_sessions(logins, ACCOUNT_CHANGED if vals.get("active", True) else ARCHIVED)
        return res

    def unlink(self):
        logins = self.sudo().mapped("login")
        res = super().unlink()
        self._end_sessions(logins, ACCOUNT_CHANGED)
        return res

    def _end_sessions(self, logins, reason):
        if not logins:
            return
        # By its record: a superuser's session was opened under another name.
        current = self.env["session.timeout.login"]._current()
        present = current.identifier if current.user_id in self else None
        for login in logins:
            self.env.cr.execute("SELECT session_timeout.close_user_sessions(%s, %s)", (login, present))
        # The present one too: after ``change_password``, for one, Odoo itself refuses it.
        self.env["session.timeout.login"].sudo().search(
            [("user_id", "in", self.ids), ("ended_at", "=", False), ("reason", "=", False)]
        ).write({"reason": reason})
