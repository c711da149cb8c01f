from odoo import fields, models
from odoo.tools import SQL


class SessionTimeoutSession(models.Model):
    _name = "session.timeout.session"
    _description = "Logged-in Session"
    _auto = False
    _rec_name = "user_id"
    _order = "last_activity desc"

    user_id = fields.Many2one("res.users", "User", readonly=True)
    opened_at = fields.Datetime("Logged in since", readonly=True)
    last_activity = fields.Datetime("Last activity", readonly=True)
    expires_at = fields.Datetime("Ends at", readonly=True)

    @property
    def _table_query(self):
        return SQL(
            """
            SELECT l.id, l.user_id,
                   a.opened_at AT TIME ZONE 'UTC' AS opened_at,
                   a.last_activity AT TIME ZONE 'UTC' AS last_activity,
                   a.expires_at AT TIME ZONE 'UTC' AS expires_at
            FROM session_timeout_login AS l
            JOIN session_timeout.active_session AS a ON a.digest = session_timeout.session_digest(l.identifier)
            """
        )
