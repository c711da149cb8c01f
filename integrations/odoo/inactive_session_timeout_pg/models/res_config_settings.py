import math
import re

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from .ir_config_parameter import DEFAULTS, DELAY, IGNORED_URL, LEAST, WARNING


def entries(urls):
    """The entries of a list of ignored URLs."""
    return [entry.strip() for entry in re.split("[,\n]", urls or "") if entry.strip()]


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    session_timeout_delay = fields.Char("Log out after", config_parameter=DELAY)
    session_timeout_delay_means = fields.Char("Log out after, in words", compute="_compute_session_timeout_means")
    session_timeout_delay_is_short = fields.Boolean("Logs out very soon", compute="_compute_session_timeout_means")
    session_timeout_confirmed = fields.Boolean("Yes, log everybody out that soon")
    session_timeout_warning = fields.Char("Warn before", config_parameter=WARNING)
    session_timeout_warning_means = fields.Char("Warn before, in words", compute="_compute_session_timeout_means")
    # Shown one a line, stored with commas.
    session_timeout_ignored_url = fields.Char("Ignored URLs", config_parameter=IGNORED_URL)
    session_timeout_preloaded = fields.Boolean(compute="_compute_session_timeout_preloaded")

    @api.depends_context("uid")
    def _compute_session_timeout_preloaded(self):
        self.session_timeout_preloaded = self.env["session.timeout.login"]._is_preloaded()

    @api.depends_context("lang")
    @api.depends("session_timeout_delay", "session_timeout_warning")
    def _compute_session_timeout_means(self):
        parameters = self.env["ir.config_parameter"].sudo()
        for settings in self:
            delay = settings.session_timeout_delay or DEFAULTS[DELAY]
            warning = settings.session_timeout_warning or DEFAULTS[WARNING]
            settings.session_timeout_delay_means = self._session_timeout_meaning(delay, self.env._("no limit"))
            settings.session_timeout_warning_means = self._session_timeout_meaning(
                warning, self.env._("no countdown"), least=0
            )
            settings.session_timeout_delay_is_short = parameters._session_timeout_is_short(DELAY, delay)

    def _session_timeout_meaning(self, value, none, least=-math.inf):
        parameters = self.env["ir.config_parameter"].sudo()
        seconds = parameters._session_timeout_seconds(value)
        if seconds is None:
            return self.env._("not a length of time")
        if seconds < least or 0 < seconds < LEAST:
            return self.env._("too short")
        return parameters._session_timeout_in_words(seconds) if seconds > 0 else none

    @api.model
    def get_values(self):
        stored = self.env["ir.config_parameter"].sudo().get_param(IGNORED_URL)
        return {**super().get_values(), "session_timeout_ignored_url": "\n".join(entries(stored))}

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
        stored, shown = parameters.get_param(IGNORED_URL), entries(self.session_timeout_ignored_url)
        self.session_timeout_ignored_url = stored if shown == entries(stored) else ",".join(shown)
        if self.session_timeout_delay_is_short and not self.session_timeout_confirmed:
            raise ValidationError(
                self.env._(
                    "“%(value)s” means %(time)s: everybody would be logged out that soon. Confirm it below the value, or "
                    "write a longer time, such as 5 minutes.",
                    value=self.session_timeout_delay.strip(),
                    time=self.session_timeout_delay_means,
                )
            )
        return super(ResConfigSettings, self.with_context(session_timeout_confirmed=True)).set_values()
