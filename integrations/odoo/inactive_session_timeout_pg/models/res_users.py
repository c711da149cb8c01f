from odoo import models
from odoo.http import request

from .session_timeout_login import identifier_of


class ResUsers(models.Model):
    _inherit = "res.users"

    def write(self, vals):
        # What ends a user's sessions in Odoo: a new password, login or second factor, and archiving.
        ends = not (self._get_session_token_fields() - {"id"}).isdisjoint(vals) and not vals.get("active")
        logins = self.sudo().mapped("login") if ends else []
        res = super().write(vals)
        self._end_sessions(logins)
        return res

    def unlink(self):
        logins = self.sudo().mapped("login")
        res = super().unlink()
        self._end_sessions(logins)
        return res

    def _end_sessions(self, logins):
        present = identifier_of(request.session) if request and request.session.uid in self.ids else None
        self.env["session.timeout.login"]._close_of_users(logins, present)
