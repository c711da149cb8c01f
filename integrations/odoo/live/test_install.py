"""Installing and uninstalling: on a server with the library, without it, and without preload; after a community module."""

import json
import shutil
import time
import unittest

from harness import ADDON, BINDIR, DIRECTORY, MAIN, USERS, Browser, Cluster, Odoo, in_parallel, installed

INSTALLED = f"env['ir.module.module'].search([('name', '=', {ADDON!r})])"
DELAY, IGNORED_URL = "inactive_session_time_out_delay", "inactive_session_time_out_ignored_url"


def values(database):
    return dict(database.query("SELECT key, value FROM session_timeout.config_parameter"))


def mirrored(database):
    return dict(database.query("SELECT key, value FROM ir_config_parameter WHERE key LIKE 'inactive%%'"))


def left_behind(database):
    """What of the addon is in a database."""
    return database.query(
        """
        SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgname LIKE '%%session_timeout%%'
        UNION ALL SELECT 'function ' || proname FROM pg_proc
            WHERE proname LIKE '%%session_timeout%%' AND pronamespace = 'public'::regnamespace
        UNION ALL SELECT 'relation ' || relname FROM pg_class
            WHERE relname LIKE 'session_timeout%%' AND relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'extension ' || extname FROM pg_extension WHERE extname = 'inactive_session_timeout'
        UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'session_timeout'
        UNION ALL SELECT 'parameter ' || key FROM ir_config_parameter WHERE key LIKE 'inactive%%'
        UNION ALL SELECT 'record ' || model || ' ' || name FROM ir_model_data
            WHERE module = 'inactive_session_timeout_pg' AND model <> 'ir.module.module'
        UNION ALL SELECT 'field ' || name FROM ir_model_fields WHERE name LIKE 'session_timeout%%'
        ORDER BY 1
        """
    )


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        installed()

    def database(self, name, template="base"):
        database = MAIN.copy(f"inst_{name}", template)
        self.addCleanup(MAIN.query, f'DROP DATABASE "inst_{name}"', database="postgres")
        return database

    def test_a_role_that_owns_the_database_installs_it(self):
        self.assertEqual(MAIN.query("SELECT rolsuper FROM pg_roles WHERE rolname = 'odoo'", database="base"), [(False,)])
        database = self.database("plain")
        database.odoo("-i", ADDON)
        self.assertEqual(values(database)[DELAY], "7200")
        self.assertEqual(mirrored(database)[DELAY], "7200")

    def test_parameters_of_a_community_module_are_taken_over(self):
        database = self.database("takeover")
        database.odoo("-i", "auth_session_timeout")
        database.query("UPDATE ir_config_parameter SET value = '900' WHERE key = %s", DELAY)
        database.query("UPDATE ir_config_parameter SET value = '/calendar/notify, websocket,/poll' WHERE key = %s", IGNORED_URL)
        log = database.odoo("-i", ADDON)
        self.assertEqual((values(database)[DELAY], values(database)[IGNORED_URL]), ("900", "/calendar/notify,/poll"))
        self.assertEqual(mirrored(database)[IGNORED_URL], "/calendar/notify,/poll")
        self.assertIn("which cannot be used", log)
        with self.subTest("uninstalling the community module leaves them"):
            database.shell(
                "env['ir.module.module'].search([('name', '=', 'auth_session_timeout')]).button_immediate_uninstall()\n"
            )
            self.assertEqual((values(database)[DELAY], mirrored(database)[DELAY]), ("900", "900"))

    def test_uninstalling_beside_a_community_module_leaves_it_whole_seconds(self):
        database = self.database("beside")
        database.odoo("-i", "auth_session_timeout")
        database.odoo("-i", ADDON)
        database.query("SELECT session_timeout.set_param(%s, '15 minutes')", DELAY)
        database.shell(f"{INSTALLED}.button_immediate_uninstall()\n")
        self.assertEqual(mirrored(database)[DELAY], "900")

    def test_a_delay_that_locked_everybody_out_is_replaced_by_the_default(self):
        database = self.database("bad")
        database.query("INSERT INTO ir_config_parameter (key, value) VALUES (%s, 'abc')", DELAY)
        log = database.odoo("-i", ADDON)
        self.assertIn("The parameter inactive_session_time_out_delay was 'abc', which cannot be used.", log)
        self.assertEqual((values(database)[DELAY], mirrored(database)[DELAY]), ("7200", "7200"))

    def test_uninstalling_leaves_nothing(self):
        database = self.database("uninstall")
        database.odoo("-i", ADDON)
        self.assertNotEqual(left_behind(database), [])
        database.shell(f"{INSTALLED}.button_immediate_uninstall()\n")
        self.assertEqual(left_behind(database), [])
        with self.subTest("and it can be installed again"):
            database.odoo("-i", ADDON)
            self.assertEqual(values(database)[DELAY], "7200")

    def test_uninstalling_in_a_browser_leaves_the_browser_logged_in(self):
        database = self.database("uninstall_live")
        database.odoo("-i", ADDON)
        odoo = Odoo(database)
        self.addCleanup(odoo.stop)
        admin = Browser(odoo, "admin")
        [module] = admin.kw("ir.module.module", "search", [["name", "=", ADDON]])["result"]
        answer = admin.kw("ir.module.module", "button_immediate_uninstall", [module])
        self.assertNotIn("error", answer)
        self.assertTrue(admin.is_logged_in())
        self.assertEqual(left_behind(database), [])

    def test_uninstalling_lets_no_expired_session_in_again(self):
        database = self.database("uninstall_expired", "installed")
        odoo = Odoo(database)
        self.addCleanup(odoo.stop)
        admin, anna, bert = Browser(odoo, "admin"), Browser(odoo, "anna"), Browser(odoo, "bert")
        database.idle(7300, "anna")
        [module] = admin.kw("ir.module.module", "search", [["name", "=", ADDON]])["result"]
        self.assertNotIn("error", admin.kw("ir.module.module", "button_immediate_uninstall", [module]))
        self.assertEqual(anna.files(), [])
        self.assertFalse(anna.is_logged_in())
        self.assertTrue(bert.is_logged_in())
        with self.subTest("and installing it anew adopts the others"):
            self.assertNotIn("error", admin.kw("ir.module.module", "button_immediate_install", [module]))
            self.assertTrue(bert.is_logged_in())
            self.assertEqual(database.status(bert.identifier), "active")

    def test_it_is_uninstalled_where_the_extension_has_been_dropped(self):
        database = self.database("uninstall_dropped", "installed")
        MAIN.query("DROP EXTENSION inactive_session_timeout CASCADE", database=database.name, user="postgres")
        database.shell(f"{INSTALLED}.button_immediate_uninstall()\n")
        self.assertEqual(left_behind(database), [])

    def test_an_extension_created_anew_has_odoo_s_parameters_before_it_opens_a_session(self):
        database = self.database("anew", "installed")
        database.set_param("delay", "15 minutes")
        database.query("UPDATE ir_config_parameter SET value = '15 minutes' WHERE key = %s", DELAY)
        for statement in ("DROP EXTENSION inactive_session_timeout CASCADE", "CREATE EXTENSION inactive_session_timeout"):
            MAIN.query(statement, database=database.name, user="postgres")
        self.assertEqual(values(database)[DELAY], "7200")
        odoo = Odoo(database)
        self.addCleanup(odoo.stop)
        logged_in = in_parallel(4, lambda _: Browser(odoo, "anna"))
        self.assertEqual((values(database)[DELAY], mirrored(database)[DELAY]), ("15 minutes", "15 minutes"))
        self.assertLessEqual(max(anna.outlook()["expires_in"] for anna in logged_in), 900)

    def test_installing_in_a_browser_adopts_who_is_logged_in(self):
        database = self.database("install_live")
        odoo = Odoo(database)
        self.addCleanup(odoo.stop)
        admin = Browser(odoo, "admin")
        [module] = admin.kw("ir.module.module", "search", [["name", "=", ADDON]])["result"]
        self.assertNotIn("error", admin.kw("ir.module.module", "button_immediate_install", [module]))
        self.assertTrue(admin.is_logged_in())
        self.assertEqual(database.status(admin.identifier), "active")

    def test_uninstalling_leaves_an_extension_that_was_there_before(self):
        database = self.database("before")
        database.query("CREATE EXTENSION inactive_session_timeout")
        database.query("SELECT session_timeout.set_param(%s, '1 hour')", DELAY)
        database.odoo("-i", ADDON)
        self.assertEqual(mirrored(database)[DELAY], "1 hour")
        database.shell(f"{INSTALLED}.button_immediate_uninstall()\n")
        self.assertEqual(left_behind(database), [("extension inactive_session_timeout",), ("schema session_timeout",)])

    def test_uninstalling_leaves_an_extension_that_belongs_to_another_role(self):
        database = self.database("another_role", "installed")
        for statement in ("DROP EXTENSION inactive_session_timeout CASCADE", "CREATE EXTENSION inactive_session_timeout"):
            MAIN.query(statement, database=database.name, user="postgres")
        self.assert_uninstalls_but_for_the_extension(database)

    def test_uninstalling_leaves_an_extension_that_another_role_has_restored(self):
        database = MAIN.copy_from(MAIN, "inst_restored", "installed", user="postgres")
        self.addCleanup(MAIN.query, 'DROP DATABASE "inst_restored"', database="postgres")
        self.assert_uninstalls_but_for_the_extension(database)

    def assert_uninstalls_but_for_the_extension(self, database):
        log = database.shell(f"{INSTALLED}.button_immediate_uninstall()\n")
        self.assertNotIn(" ERROR ", log)
        self.assertIn("The PostgreSQL extension inactive_session_timeout is left", log)
        self.assertIn("DROP EXTENSION inactive_session_timeout;", log)
        self.assertEqual(left_behind(database), [("extension inactive_session_timeout",), ("schema session_timeout",)])
        self.assertEqual(database.value("SELECT state FROM ir_module_module WHERE name = %s", ADDON), "uninstalled")

    def test_a_server_without_the_library_is_explained(self):
        bare = DIRECTORY / "bare"  # the same PostgreSQL, but for the extension
        shutil.copytree(next(path for path in BINDIR.parents if (path / "complete").exists()), bare, symlinks=True)
        for path in bare.rglob("inactive_session_timeout*"):
            path.unlink()
        bindir = next(path.parent for path in bare.rglob("initdb"))
        cluster = Cluster.create("no-library", bindir)
        self.addCleanup(cluster.stop)
        database = cluster.copy_from(MAIN, "inst_no_library")
        log = database.odoo("-i", ADDON, fails=True)
        self.assertIn("The PostgreSQL server does not have the extension inactive_session_timeout.", log)
        self.assertIn("shared_preload_libraries = 'inactive_session_timeout'", log)
        self.assertEqual(left_behind(database), [])

    def test_a_role_without_rights_is_told_what_to_run(self):
        database = self.database("no_rights")
        MAIN.query("CREATE ROLE somebody", database="base", user="postgres")
        MAIN.query('ALTER DATABASE "inst_no_rights" OWNER TO somebody', database="base", user="postgres")
        MAIN.query("GRANT ALL ON SCHEMA public TO odoo", database=database.name, user="postgres")
        self.addCleanup(MAIN.query, 'ALTER DATABASE "inst_no_rights" OWNER TO odoo; DROP ROLE somebody',
                        database="base", user="postgres")
        command = 'ALTER DATABASE "inst_no_rights" OWNER TO "odoo";'
        log = database.odoo("-i", ADDON, fails=True)
        self.assertIn("may not create the PostgreSQL extension", log)
        self.assertIn(command, log)
        with self.subTest("with the extension there already"):
            MAIN.query("CREATE EXTENSION inactive_session_timeout", database=database.name, user="postgres")
            log = database.odoo("-i", ADDON, fails=True)
            self.assertIn("may not use it", log)
            self.assertIn(command, log)
            MAIN.query("DROP EXTENSION inactive_session_timeout", database=database.name, user="postgres")
        with self.subTest("that command is all there is to do"):
            MAIN.query(command, database="postgres", user="postgres")
            database.odoo("-i", ADDON)
            self.assertEqual(values(database)[DELAY], "7200")

    def test_without_preload_it_works_and_settings_say_what_is_missing(self):
        cluster = Cluster.create("no-preload")
        self.addCleanup(cluster.stop)
        database = cluster.copy_from(MAIN, "inst_no_preload")
        database.odoo("-i", ADDON)
        database.shell(USERS)
        odoo = Odoo(database)
        self.addCleanup(odoo.stop)
        admin, anna = Browser(odoo, "admin"), Browser(odoo, "anna")
        settings = admin.kw("res.config.settings", "create", {})["result"]
        [read] = admin.kw("res.config.settings", "read", [settings], ["session_timeout_preloaded"])["result"]
        self.assertIs(read["session_timeout_preloaded"], False)
        self.assertTrue(anna.is_logged_in())
        database.idle(7300, "anna")
        self.assertEqual(anna.call("/web/session/check")["error"]["code"], 100)
        with self.subTest("expiry is final there too"):
            self.assertEqual(database.events(anna.identifier), ["idle_expired"])
            self.assertEqual(anna.files(), [])
        with self.subTest("a logout whose check has written the session's row closes it at once"):
            bert = Browser(odoo, "bert")
            database.idle(100, "bert")
            started = time.monotonic()
            self.assertNotIn("error", bert.call("/web/session/destroy"))
            self.assertLess(time.monotonic() - started, 2)
            self.assertEqual(database.status(bert.identifier), "unknown")
        with self.subTest("so does one of a request that is refused"):
            bert = Browser(odoo, "bert")
            content = bert.content()
            bert.file().write_text(json.dumps({**content, "session_token": "void"}))
            database.idle(100, "bert")
            started = time.monotonic()
            self.assertEqual(bert.call("/web/session/check")["error"]["code"], 100)
            self.assertLess(time.monotonic() - started, 2)
            self.assertEqual(database.status(bert.identifier), "unknown")
        with self.subTest("the scheduled action purges"):
            bert = Browser(odoo, "bert")
            database.idle(7300, "bert")
            database.shell("env['session.timeout.login']._cron_tidy()\nenv.cr.commit()\n")
            self.assertEqual(database.events(bert.identifier), ["idle_expired"])
