from unittest.mock import patch

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import tagged

from ..models.ir_config_parameter import ABSOLUTE_DELAY, DEFAULTS, DELAY, FOLLOW, IGNORED_URL, WARNING
from .common import SessionTimeoutCase, new_test_user


@tagged("post_install", "-at_install")
class TestParameters(SessionTimeoutCase):
    def setUp(self):
        super().setUp()
        self.parameters = self.env["ir.config_parameter"].sudo()

    def change_in_the_extension(self, key, value):
        self.env.cr.execute("UPDATE session_timeout.config_parameter SET value = %s WHERE key = %s", (value, key))

    def test_a_system_parameter_reaches_the_extension(self):
        self.parameters.set_param(DELAY, "600")
        self.assertEqual(self.extension_value(DELAY), "600")

    def test_a_number_is_taken_as_its_digits(self):
        self.parameters.set_param(DELAY, 600)
        self.assertEqual(self.extension_value(DELAY), "600")
        self.assertEqual(self.parameters.get_param(DELAY), "600")

    def test_an_empty_time_is_refused_in_plain_words(self):
        parameter = self.parameters.search([("key", "=", DELAY)])
        with self.assertRaisesRegex(ValidationError, "“” is not a length of time"):
            parameter.write({"value": ""})
        self.assertEqual(self.extension_value(DELAY), "7200")

    def test_an_empty_list_of_ignored_urls_is_one(self):
        self.parameters.set_param(IGNORED_URL, "")
        self.assertEqual(self.extension_value(IGNORED_URL), "")

    def test_a_system_parameter_changed_by_sql_reaches_the_extension(self):
        self.env.cr.execute("UPDATE ir_config_parameter SET value = '15 minutes' WHERE key = %s", (DELAY,))
        self.assertEqual(self.extension_value(DELAY), "15 minutes")

    def test_a_deleted_system_parameter_means_the_default(self):
        self.parameters.set_param(DELAY, "600")
        self.parameters.set_param(DELAY, False)
        self.assertIsNone(self.extension_value(DELAY))
        self.assertEqual(self.parameters.get_param(DELAY), "7200")

    def test_a_renamed_system_parameter_means_the_default(self):
        self.parameters.set_param(DELAY, "600")
        self.parameters.search([("key", "=", DELAY)]).key = "something.else"
        self.assertIsNone(self.extension_value(DELAY))

    def test_the_extensions_row_is_read_past_the_cache(self):
        self.assertEqual(self.parameters.get_param(DELAY), "7200")
        self.change_in_the_extension(DELAY, "1 hour")
        self.assertEqual(self.parameters.get_param(DELAY), "1 hour")

    def test_the_list_of_system_parameters_shows_the_extensions_row(self):
        self.change_in_the_extension(DELAY, "1 hour")
        self.env.invalidate_all()
        self.assertEqual(self.parameters.search_read([("key", "=", DELAY)], ["value"])[0]["value"], "1 hour")

    def test_the_stored_rows_follow_the_extension(self):
        self.change_in_the_extension(DELAY, "1 hour")
        self.env.cr.execute(FOLLOW)
        self.assertEqual(self.row("SELECT value FROM ir_config_parameter WHERE key = %s", DELAY), ("1 hour",))
        self.assertEqual(self.extension_value(DELAY), "1 hour")

    # ---- An extension that was dropped and created anew ----

    def create_anew(self):
        self.env.flush_all()
        self.env.cr.execute("DROP EXTENSION inactive_session_timeout; CREATE EXTENSION inactive_session_timeout")
        self.env.invalidate_all()
        self.assertEqual(self.extension_value(DELAY), "7200")

    def assert_delay(self, value):
        self.assertEqual(self.extension_value(DELAY), value)
        self.assertEqual(self.row("SELECT value FROM ir_config_parameter WHERE key = %s", DELAY), (value,))

    def test_an_extension_created_anew_gets_odoo_s_parameters(self):
        self.parameters.set_param(DELAY, "15 minutes")
        self.parameters.set_param(ABSOLUTE_DELAY, "8 hours")
        self.create_anew()
        self.assertEqual(self.parameters.get_param(DELAY), "15 minutes")
        self.parameters._session_timeout_follow()
        self.assert_delay("15 minutes")
        self.assertEqual(self.extension_value(ABSOLUTE_DELAY), "8 hours")

    def test_what_was_written_to_an_extension_created_anew_stands(self):
        self.parameters.set_param(DELAY, "15 minutes")
        self.create_anew()
        self.change_in_the_extension(DELAY, "7200")
        self.assertEqual(self.parameters.get_param(DELAY), "7200")
        self.parameters._session_timeout_follow()
        self.assert_delay("7200")

    def test_a_parameter_deleted_from_the_extension_is_not_restored(self):
        self.parameters.set_param(DELAY, "15 minutes")
        self.env.flush_all()
        self.env.cr.execute("SELECT session_timeout.set_param(%s, NULL)", (DELAY,))
        self.parameters._session_timeout_follow()
        self.assertIsNone(self.extension_value(DELAY))

    def test_a_parameter_that_an_extension_created_anew_does_not_take_is_left(self):
        self.env.cr.execute("ALTER TABLE ir_config_parameter DISABLE TRIGGER inactive_session_timeout_pg_parameter")
        self.env.cr.execute("UPDATE ir_config_parameter SET value = 'soon' WHERE key = %s", (WARNING,))
        self.create_anew()
        with self.assertLogs("odoo.addons.inactive_session_timeout_pg.models.ir_config_parameter", "WARNING"):
            self.parameters._session_timeout_restore()
        self.assertEqual(self.extension_value(WARNING), "300")

    def test_settings_write_the_extensions_rows(self):
        self.env["res.config.settings"].create(
            {
                "session_timeout_delay": "30 minutes",
                "session_timeout_warning": "60",
                "session_timeout_ignored_url": "/websocket, /poll/*",
            }
        ).execute()
        self.assertEqual(self.extension_value(DELAY), "30 minutes")
        self.assertEqual(self.extension_value(WARNING), "60")
        self.assertEqual(self.extension_value(IGNORED_URL), "/websocket,/poll/*")

    def test_settings_show_the_extensions_rows(self):
        self.change_in_the_extension(DELAY, "45 minutes")
        self.assertEqual(self.env["res.config.settings"].create({}).session_timeout_delay, "45 minutes")

    def test_an_emptied_setting_means_the_default(self):
        self.parameters.set_param(DELAY, "600")
        self.env["res.config.settings"].create({"session_timeout_delay": False}).execute()
        self.assertEqual(self.extension_value(DELAY), "7200")

    def test_settings_leave_an_empty_list_of_ignored_urls_empty(self):
        self.parameters.set_param(IGNORED_URL, "")
        self.env["res.config.settings"].create({"session_timeout_delay": "600"}).execute()
        self.assertEqual(self.extension_value(IGNORED_URL), "")
        self.assertEqual(self.extension_value(DELAY), "600")

    def settings(self, **values):
        return self.env["res.config.settings"].create(values)

    def test_settings_show_ignored_urls_one_a_line_and_store_them_with_commas(self):
        # A community module splits the list at commas alone.
        self.assertEqual(self.settings().session_timeout_ignored_url, DEFAULTS[IGNORED_URL].replace(",", "\n"))
        self.settings(session_timeout_ignored_url="/websocket\n/poll/*\n\n /longpolling/*").execute()
        self.assertEqual(self.extension_value(IGNORED_URL), "/websocket,/poll/*,/longpolling/*")

    def test_settings_leave_a_list_of_ignored_urls_that_was_not_changed_as_it_is_written(self):
        self.parameters.set_param(IGNORED_URL, "/websocket, /poll/*")
        self.settings(session_timeout_delay="600").execute()
        self.assertEqual(self.extension_value(IGNORED_URL), "/websocket, /poll/*")

    def test_settings_show_what_a_time_means(self):
        for value, meaning in (
            ("5", "5 seconds"),
            ("0.5", "0.5 seconds"),
            ("7200", "2 hours"),
            ("1h30m", "1 hour 30 minutes"),
            ("1 month", "30 days"),
            ("1 year", "360 days"),  # as the extension counts
            ("0", "no limit"),
            ("0.0000015", "0.000002 seconds"),
            ("0.0000001", "too short"),  # the extension refuses it
            ("five", "not a length of time"),
        ):
            with self.subTest(value):
                settings = self.settings(session_timeout_delay=value, session_timeout_warning=value)
                self.assertEqual(settings.session_timeout_delay_means, meaning)
                self.assertEqual(settings.session_timeout_warning_means, meaning.replace("limit", "countdown"))
        for value in ("-5", "-5 minutes"):
            with self.subTest(value):
                settings = self.settings(session_timeout_delay=value, session_timeout_warning=value)
                self.assertEqual(settings.session_timeout_delay_means, "no limit")
                self.assertEqual(settings.session_timeout_warning_means, "too short")  # the extension refuses it
        self.env["res.lang"]._activate_lang("de_DE")
        german = self.settings(session_timeout_delay="5").with_context(lang="de_DE")
        self.assertEqual(german.session_timeout_delay_means, "5 Sekunden")

    def test_settings_want_a_confirmation_for_less_than_a_minute(self):
        for value in ("5", "5 seconds", "00:00:59"):
            with self.subTest(value):
                settings = self.settings(session_timeout_delay=value)
                self.assertTrue(settings.session_timeout_delay_is_short)
                with self.assertRaisesRegex(ValidationError, "everybody would be logged out that soon"):
                    settings.execute()
                self.assertEqual(self.extension_value(DELAY), "7200")
        self.settings(session_timeout_delay="5", session_timeout_confirmed=True).execute()
        self.assertEqual(self.extension_value(DELAY), "5")
        with self.subTest("but not for what is in force already"):
            self.settings(session_timeout_warning="2").execute()
            self.assertEqual(self.extension_value(DELAY), "5")

    def test_settings_want_no_confirmation_for_no_limit(self):
        for value in ("0", "-5"):
            self.settings(session_timeout_delay=value).execute()
            self.assertEqual(self.extension_value(DELAY), value)

    def test_a_system_parameter_of_less_than_a_minute_gives_its_unit(self):
        for key, default in ((DELAY, "7200"), (ABSOLUTE_DELAY, "0")):
            with self.subTest(key):
                for value in ("5", " 5", "59.9"):
                    with self.assertRaisesRegex(ValidationError, "or .* seconds if you mean that"):
                        self.parameters.set_param(key, value)
                self.assertEqual(self.extension_value(key), default)
                for value in ("5 seconds", "60", "-5"):
                    self.parameters.set_param(key, value)
                    self.assertEqual(self.extension_value(key), value)

    def test_a_warning_may_be_short(self):
        self.parameters.set_param(WARNING, "5")
        self.assertEqual(self.extension_value(WARNING), "5")

    def test_beside_a_community_module_a_delay_is_whole_seconds(self):
        # It takes the delay with int(), on each request.
        with patch.object(self.env.registry, "_init_modules", {*self.env.registry._init_modules, "auth_session_timeout"}):
            for value in ("15 minutes", "90.5"):
                with self.assertRaisesRegex(ValidationError, f"“{value}” is not a whole number of seconds"):
                    self.parameters.set_param(DELAY, value)
            self.assertEqual(self.extension_value(DELAY), "7200")
            self.parameters.set_param(WARNING, "2 minutes")
            self.parameters.set_param(DELAY, "900")
        self.assertEqual(self.extension_value(DELAY), "900")

    def test_settings_refuse_a_delay_that_is_no_time_in_plain_words(self):
        settings = self.env["res.config.settings"].create({"session_timeout_delay": "abc"})
        with self.assertRaisesRegex(ValidationError, "“abc” is not a length of time. Write a number of seconds"):
            settings.execute()
        self.assertEqual(self.extension_value(DELAY), "7200")

    def test_a_time_that_is_too_short_is_refused_in_plain_words(self):
        for key, value, field in (
            (WARNING, "-1", "session_timeout_warning"),
            (WARNING, "-5 minutes", "session_timeout_warning"),
            (DELAY, "0.0000001", "session_timeout_delay"),
        ):
            with self.subTest(value):
                before = self.extension_value(key)
                with self.assertRaisesRegex(ValidationError, f"“{value}” is too short"):
                    self.settings(**{field: value}).execute()
                with self.assertRaisesRegex(ValidationError, f"“{value}” is too short"):
                    self.parameters.set_param(key, value)
                self.assertEqual(self.extension_value(key), before)

    def test_settings_refuse_an_ignored_url_that_is_no_path(self):
        settings = self.env["res.config.settings"].create({"session_timeout_ignored_url": "websocket"})
        with self.assertRaisesRegex(ValidationError, "“websocket” is not a list of URLs"):
            settings.execute()

    def test_a_new_system_parameter_that_does_not_exist_is_refused(self):
        with self.assertRaisesRegex(ValidationError, "There is no parameter"):
            self.parameters.create({"key": "inactive_session_time_out_delya", "value": "1"})

    def test_a_refused_value_leaves_the_transaction_usable(self):
        with self.assertRaises(ValidationError):
            self.parameters.set_param(DELAY, "abc")
        self.parameters.set_param(DELAY, "601")
        self.assertEqual(self.extension_value(DELAY), "601")

    def test_a_user_without_rights_changes_nothing(self):
        user = new_test_user(self.env, "without_rights")
        parameter = self.parameters.search([("key", "=", DELAY)]).with_user(user).sudo(False)
        with self.assertRaises(AccessError):
            parameter.write({"value": "9"})
        self.assertEqual(self.extension_value(DELAY), "7200")

    def test_uninstalling_another_module_leaves_the_parameters(self):
        parameter = self.parameters.search([("key", "=", DELAY)])
        parameter.with_context(_force_unlink=True).unlink()
        self.assertTrue(parameter.exists())

    def test_the_warning_is_told_in_seconds(self):
        self.parameters.set_param(WARNING, "1h30m")
        self.assertEqual(self.parameters._session_timeout_warning(), 5400)
        self.parameters.set_param(WARNING, "90.5")
        self.assertEqual(self.parameters._session_timeout_warning(), 90.5)
