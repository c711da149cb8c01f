from odoo import models


class ResDevice(models.Model):
    _inherit = "res.device"

    def _revoke(self):
        identifiers = set(self.mapped("session_identifier"))
        res = super()._revoke()  # first: where the present session is among them it logs out, in a transaction of its own
        self.env["session.timeout.login"]._close(identifiers)
        return res
