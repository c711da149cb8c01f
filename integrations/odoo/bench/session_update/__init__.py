from odoo import models
from odoo.http import request


def post_init_hook(env):
    env.cr.execute("CREATE TABLE session_update (sid text PRIMARY KEY, last_activity timestamptz)")


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _authenticate(cls, endpoint):
        super()._authenticate(endpoint)
        if request.session.uid:
            request.env.cr.execute(
                "INSERT INTO session_update VALUES (%s, clock_timestamp()) "
                "ON CONFLICT (sid) DO UPDATE SET last_activity = excluded.last_activity",
                (request.session.sid[:42],),
            )
