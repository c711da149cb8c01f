from odoo import models


class ResUsers(models.Model):
    _inherit = "res.users"

    def write(self, vals):
        # What makes Odoo's own session token void: a new password, login or second factor, and archiving.
        ending = self._get_session_token_fields() & vals.keys()
        if vals.get("active"):
            ending -= {"active"}
        logins = self.sudo().mapped("login") if ending else []
        res = super().write(vals)
        self._end_sessions(logins)
        return res

    def unlink(self):
        logins = self.sudo().mapped("login")
        res = super().unlink()
        self._end_sessions(logins)
        return res

    def _end_sessions(self, logins):
        if not logins:
            return
        # By its record: a superuser's session was opened under another name.
        current = self.env["session.timeout.login"]._current()
        present = current.identifier if current.user_id in self else None
        for login in logins:
            self.env.cr.execute("SELECT session_timeout.close_user_sessions(%s, %s)", (login, present))
