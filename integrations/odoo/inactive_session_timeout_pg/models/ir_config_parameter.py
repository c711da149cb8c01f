"""The extension's parameters as System Parameters.

A trigger carries what is written to ``ir_config_parameter`` into the extension's rows (hooks.py). The extension's table
takes no trigger of ours, as its owner is the server's superuser. So the other way round nothing is carried: values are
read from the extension's rows, past every cache, and what is stored here follows within minutes (a scheduled action).
"""

import logging
import re

import psycopg2.errors
from babel.units import format_unit

from odoo import api, models
from odoo.addons.base.models.ir_model import MODULE_UNINSTALL_FLAG
from odoo.exceptions import ValidationError
from odoo.tools.misc import babel_locale_parse

_logger = logging.getLogger(__name__)

PREFIX = "inactive_session_time_out_"
DELAY = PREFIX + "delay"
ABSOLUTE_DELAY = PREFIX + "absolute_delay"
IGNORED_URL = PREFIX + "ignored_url"
IGNORED_URL_MODE = PREFIX + "ignored_url_mode"
WARNING = PREFIX + "warning"
# Those that log everybody out where they are too short.
LIMITS = (DELAY, ABSOLUTE_DELAY)
# In seconds: a shorter limit must be meant. Minutes are easily written where seconds are asked for.
SHORTEST = 60
LONGEST = 9e12  # what the extension can count
LEAST = 1e-6  # the same; what is less would be rounded to 0, which means no limit
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", re.ASCII)
# The community modules with the same parameters.
COMMUNITY = ("auth_session_timeout", "inactive_session_timeout")
# What holds where the extension's row has been deleted.
DEFAULTS = {
    DELAY: "7200",
    IGNORED_URL: "/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket",
    WARNING: "300",
}
# A row that is as CREATE EXTENSION made it, though Odoo's is different: the extension has been dropped and created anew.
# Otherwise the trigger, or whoever changed the extension's row, would have written it.
IS_NEW = """
    EXISTS (SELECT FROM session_timeout.config_parameter AS c
            WHERE c.key = p.key AND c.write_date IS NULL AND c.value = session_timeout.get_param(c.key))
"""
# The parameters of which that is so.
NEW = f"""
    SELECT p.key, p.value FROM ir_config_parameter AS p
    WHERE p.key LIKE 'inactive\\_session\\_time\\_out\\_%' AND session_timeout.get_param(p.key) <> p.value AND {IS_NEW}
"""
# Brings the other stored rows in step with the extension's, which the trigger then finds as they are.
FOLLOW = f"""
    UPDATE ir_config_parameter AS p SET value = session_timeout.get_param(p.key)
    WHERE p.key LIKE 'inactive\\_session\\_time\\_out\\_%' AND session_timeout.get_param(p.key) <> p.value
      AND NOT {IS_NEW}
"""


def is_ours(key):
    return bool(key) and key.startswith(PREFIX)


class IrConfigParameter(models.Model):
    _inherit = "ir.config_parameter"

    # ---- Reading ----

    @api.model
    def _get_param(self, key):
        if not is_ours(key):
            return super()._get_param(key)
        self.flush_model(["key", "value"])
        return self._session_timeout_values([key])[key]

    def _fetch_query(self, query, fields):
        fetched = super()._fetch_query(query, fields)
        field = self._fields["value"]
        if field in fields:
            ours = fetched.filtered(lambda parameter: is_ours(parameter.key))
            values = self._session_timeout_values(ours.mapped("key"))
            unwritten = self.env._field_dirty.get(field, ())
            for parameter in ours:
                if parameter.id not in unwritten and values[parameter.key] is not None:
                    field._update_cache(parameter, values[parameter.key])
        return fetched

    @api.model
    def _session_timeout_values(self, keys):
        """What the extension's rows say now, committed by whomever."""
        if not keys:
            return {}
        self.env.cr.execute(
            f"""
            SELECT k, CASE WHEN {IS_NEW} THEN p.value ELSE session_timeout.get_param(k) END
            FROM unnest(%s) AS k LEFT JOIN ir_config_parameter AS p ON p.key = k
            """,
            (list(keys),),
        )
        return {key: DEFAULTS.get(key) if value is None else value for key, value in self.env.cr.fetchall()}

    @api.model
    def _session_timeout_warning(self):
        """The warning's seconds."""
        return max(0.0, self._session_timeout_seconds(self._get_param(WARNING)))

    @api.model
    def _session_timeout_seconds(self, value):
        """A length of time as the extension takes it; None for what is none. In PostgreSQL a year has 365.25 days."""
        value = value or ""
        if NUMBER.fullmatch(value):
            return max(-LONGEST, min(float(value), LONGEST))
        try:
            with self.env.cr.savepoint(flush=False):  # computed fields ask, whose cache a flush would empty
                self.env.cr.execute(
                    "SELECT extract(epoch FROM i) - extract(year FROM i) * 5.25 * 86400 FROM CAST(%s AS pg_catalog.interval) AS i",
                    (value,), log_exceptions=False,
                )
                [seconds] = self.env.cr.fetchone()
        except psycopg2.DataError:
            return None
        return max(-LONGEST, min(float(seconds), LONGEST))

    @api.model
    def _session_timeout_in_words(self, seconds):
        """A length of time in the user's language, such as 1 hour 30 minutes."""
        locale = babel_locale_parse(self.env.lang or "en_US")
        minutes, seconds = divmod(round(seconds, 6), 60)
        hours, minutes = divmod(int(minutes), 60)
        days, hours = divmod(hours, 24)
        parts = (("day", days), ("hour", hours), ("minute", minutes), ("second", round(seconds, 6)))
        words = [
            format_unit(number, f"duration-{unit}", format="#,##0.######", locale=locale) for unit, number in parts if number
        ]
        return " ".join(words)

    # ---- Writing ----

    @api.model
    def _session_timeout_restore(self):
        """Give an extension that has been created anew the parameters that it had: Odoo's."""
        self.env.cr.execute(NEW, log_exceptions=False)
        for key, value in self.env.cr.fetchall():
            try:
                with self.env.cr.savepoint():
                    self.env.cr.execute("SELECT session_timeout.set_param(%s, %s)", (key, value), log_exceptions=False)
                _logger.info("The extension has been created anew: its parameter %s is %r again", key, value)
            except psycopg2.errors.InvalidParameterValue:
                _logger.warning("The extension does not take the parameter %s, which is %r", key, value)

    @api.model
    def _session_timeout_follow(self):
        """Bring the stored rows in step with what the extension's say."""
        self._session_timeout_restore()
        self.env.cr.execute(FOLLOW)

    @api.model_create_multi
    def create(self, vals_list):
        self.check_access("create")
        for vals in vals_list:
            self._session_timeout_set(vals.get("key"), vals.get("value"))
        return super().create(vals_list)

    def write(self, vals):
        if "value" in vals or "key" in vals:
            self.check_access("write")
            for parameter in self:
                self._session_timeout_set(vals.get("key", parameter.key), vals.get("value", parameter.value))
        return super().write(vals)

    def unlink(self):
        parameters = self
        if self.env.context.get(MODULE_UNINSTALL_FLAG):
            # Another module that brought these parameters along is uninstalled; they are in use.
            parameters = self.filtered(lambda parameter: not is_ours(parameter.key))
        return super(IrConfigParameter, parameters).unlink()

    @api.model
    def _session_timeout_set(self, key, value):
        """Write the extension's row, so that what it refuses is refused here, in words of ours."""
        if not is_ours(key) or value is None or value is False:
            return
        value = str(value)
        if key == DELAY and not self.env.registry._init_modules.isdisjoint(COMMUNITY):
            self._session_timeout_refuse_for_community(value)
        if key in LIMITS and not self.env.context.get("session_timeout_confirmed"):
            self._session_timeout_refuse_short(key, value)
        try:
            with self.env.cr.savepoint():
                self.env.cr.execute("SELECT session_timeout.set_param(%s, %s)", (key, value), log_exceptions=False)
        except psycopg2.errors.InvalidParameterValue as error:
            raise ValidationError(self._session_timeout_refusal(key, value, error)) from error

    @api.model
    def _session_timeout_refuse_for_community(self, value):
        """A community module takes the delay with int(), on each request: what that refuses, would lock everybody out."""
        try:
            int(value)
        except ValueError as error:
            raise ValidationError(
                self.env._(
                    "“%(value)s” is not a whole number of seconds, such as 900, which a community module that is installed "
                    "expects here. Once that module is uninstalled, a unit can be given too.",
                    value=value,
                )
            ) from error

    @api.model
    def _session_timeout_is_short(self, key, value):
        """Whether this limit is new, and so short that it logs people out while they work."""
        seconds = self._session_timeout_seconds(value)
        return seconds is not None and LEAST <= seconds < SHORTEST and value.strip() != self._get_param(key)

    @api.model
    def _session_timeout_refuse_short(self, key, value):
        """A number without a unit may have been meant as minutes."""
        if NUMBER.fullmatch(value) and self._session_timeout_is_short(key, value):
            raise ValidationError(
                self.env._(
                    "“%(value)s” means %(time)s: everybody would be logged out that soon. Write the unit: %(value)s minutes, "
                    "or %(value)s seconds if you mean that.",
                    value=value.strip(),
                    time=self._session_timeout_in_words(self._session_timeout_seconds(value)),
                )
            )

    @api.model
    def _session_timeout_refusal(self, key, value, error):
        if key == IGNORED_URL:
            return self.env._(
                "“%(value)s” is not a list of URLs. Each one begins with / or *, and they are separated by commas.\n"
                "For example: /websocket, /longpolling/*",
                value=value,
            )
        if key == IGNORED_URL_MODE:
            return self.env._("“%(value)s” is not a mode. Write skip_check or no_refresh.", value=value)
        if "there is no parameter" in (error.diag.message_primary or ""):
            return self.env._("There is no parameter “%(key)s” for inactive sessions.", key=key)
        seconds = self._session_timeout_seconds(value)
        if seconds is not None and seconds <= LEAST:
            return self.env._("“%(value)s” is too short. Write a longer time, such as 5 minutes.", value=value)
        return self.env._(
            "“%(value)s” is not a length of time. Write a number of seconds, such as 7200, or a number with its unit, "
            "such as 15 minutes or 2 hours.",
            value=value,
        )
