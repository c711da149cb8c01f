from odoo import api, fields, models

from .ir_config_parameter import DEFAULTS, DELAY, IGNORED_URL, WARNING


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    session_timeout_delay = fields.Char("Log out after", config_parameter=DELAY)
    session_timeout_warning = fields.Char("Warn before", config_parameter=WARNING)
    session_timeout_ignored_url = fields.Char("Ignored URLs", config_parameter=IGNORED_URL)
    session_timeout_preloaded = fields.Boolean(compute="_compute_session_timeout_preloaded")

    @api.depends_context("uid")
    def _compute_session_timeout_preloaded(self):
        self.session_timeout_preloaded = self.env["session.timeout.login"]._is_preloaded()

    def set_values(self):
        # A form that was open while the parameter was deleted, or emptied by the user: the default. One that was empty
        # before stays so, as an empty list of URLs may.
        parameters = self.env["ir.config_parameter"].sudo()
        for name, key in (
            ("session_timeout_delay", DELAY),
            ("session_timeout_warning", WARNING),
            ("session_timeout_ignored_url", IGNORED_URL),
        ):
            if not (self[name] or "").strip() and parameters.get_param(key):
                self[name] = DEFAULTS[key]
        return super().set_values()
