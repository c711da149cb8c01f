from odoo import models


class ResDevice(models.Model):
    _inherit = "res.device"

    def _revoke(self):
        identifiers = set(self.mapped("session_identifier"))
        res = super()._revoke()
        self.env["session.timeout.login"]._close(identifiers)
        return res
