"""The extension's parameters as System Parameters.

A trigger carries what is written here to the extension's rows (see hooks.py). The other way round there is nothing to
carry: the extension's table takes no trigger of ours, so the rows are read from there, and never from a cache.
"""

import psycopg2

from odoo import api, models
from odoo.exceptions import ValidationError

PREFIX = "inactive_session_time_out_"
DELAY = PREFIX + "delay"
IGNORED_URL = PREFIX + "ignored_url"
WARNING = PREFIX + "warning"
DEFAULTS = {
    DELAY: "7200",
    IGNORED_URL: "/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket",
    WARNING: "300",
}


class IrConfigParameter(models.Model):
    _inherit = "ir.config_parameter"

    @api.model
    def _get_param(self, key):
        if not key or not key.startswith(PREFIX):
            return super()._get_param(key)
        self.flush_model(["key", "value"])
        self.env.cr.execute("SELECT session_timeout.get_param(%s, %s)", (key, DEFAULTS.get(key)))
        return self.env.cr.fetchone()[0]

    @api.model
    def _session_timeout_warning(self):
        """The warning's seconds."""
        value = self.sudo().get_param(WARNING, DEFAULTS[WARNING])
        try:
            return max(0.0, float(value))
        except ValueError:
            self.env.cr.execute("SELECT extract(epoch FROM %s::pg_catalog.interval)", (value,))
            return max(0.0, float(self.env.cr.fetchone()[0]))
