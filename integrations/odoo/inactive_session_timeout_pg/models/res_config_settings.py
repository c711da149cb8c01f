from odoo import fields, models

from .ir_config_parameter import DELAY, IGNORED_URL, WARNING


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    session_timeout_delay = fields.Char("Log out after", config_parameter=DELAY)
    session_timeout_warning = fields.Char("Warn before", config_parameter=WARNING)
    session_timeout_ignored_url = fields.Char("Ignored URLs", config_parameter=IGNORED_URL)
