"""The sessions that are logged in now, as the extension knows them."""

from odoo import fields, models
from odoo.tools import SQL


class SessionTimeoutSession(models.Model):
    _name = "session.timeout.session"
    _description = "Logged-in Session"
    _auto = False
    _rec_name = "user_id"
    _order = "last_activity desc, id desc"

    user_id = fields.Many2one("res.users", "User", readonly=True)
    device = fields.Char("Device", readonly=True)
    ip_address = fields.Char("IP Address", readonly=True)
    opened_at = fields.Datetime("Logged In Since", readonly=True)
    last_activity = fields.Datetime("Last Activity", readonly=True)
    idle_for = fields.Float("Idle For", readonly=True, aggregator=None)
    expires_at = fields.Datetime("Ends At", readonly=True)
    expires_in = fields.Float("Ends In", readonly=True, aggregator=None, help="If nothing more happens")
    is_current = fields.Boolean("This Session", compute="_compute_is_current")

    @property
    def _table_query(self):
        return SQL(
            """
            SELECT l.id, l.user_id,
                   concat_ws(' ', initcap(d.browser), initcap(d.platform)) AS device,
                   d.ip_address,
                   a.opened_at AT TIME ZONE 'UTC' AS opened_at,
                   a.last_activity AT TIME ZONE 'UTC' AS last_activity,
                   extract(epoch FROM clock_timestamp() - a.last_activity)::float8 / 3600 AS idle_for,
                   a.expires_at AT TIME ZONE 'UTC' AS expires_at,
                   extract(epoch FROM a.expires_in)::float8 / 3600 AS expires_in
            FROM session_timeout_login AS l
            JOIN session_timeout.active_session AS a ON a.digest = session_timeout.session_digest(l.identifier)
            LEFT JOIN LATERAL (
                SELECT log.browser, log.platform, log.ip_address FROM res_device_log AS log
                WHERE log.session_identifier = l.identifier ORDER BY log.last_activity DESC LIMIT 1
            ) AS d ON true
            WHERE l.database = current_database() AND NOT l.technical
            """
        )

    def _compute_is_current(self):
        current = self.env["session.timeout.login"]._current()
        for session in self:
            session.is_current = session.id == current.id

    def action_log_out(self):
        """End these sessions, each of which the user may see."""
        self.check_access("read")
        logins = self.env["session.timeout.login"].sudo().browse(self.ids)
        self.env["session.timeout.login"]._close(logins.mapped("identifier"))
        return {"type": "ir.actions.client", "tag": "soft_reload"}

    def action_log_out_everywhere(self):
        """End all sessions of these sessions' users, but for the present one."""
        sessions = self.search([("user_id", "in", self.user_id.ids)])
        current = self.env["session.timeout.login"]._current()
        return sessions.filtered(lambda session: session.id != current.id).action_log_out()
