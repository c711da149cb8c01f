"""A copy of a database, served by the same Odoo: its records of sessions are those of the original, and so are the files."""

from harness import DATA, MAIN, Browser, Database, LiveCase, Odoo, shutil

TIDY = "env.ref('inactive_session_timeout_pg.ir_cron_tidy').method_direct_trigger()\nenv.cr.commit()\n"


class Copies(LiveCase):
    def assert_untouched(self, browser):
        self.assertNotEqual(browser.files(), [])
        self.assertTrue(browser.is_logged_in())

    def test_a_restored_dump_leaves_the_original_s_sessions(self):
        anna = Browser(self.odoo, "anna")
        copy = MAIN.copy_from(MAIN, "live_copy_dump", self.database.name)
        copy.shell(TIDY)
        self.assert_untouched(anna)
        self.assertEqual(copy.query("SELECT * FROM session_timeout_login"), [])

    def test_a_duplicate_leaves_the_original_s_sessions(self):
        anna = Browser(self.odoo, "anna")
        copy = self.duplicate("live_copy_template")
        copy.idle(7300)  # nobody uses the copy
        copy.query("SELECT session_timeout.purge_sessions()")
        copy.shell(TIDY)
        self.assert_untouched(anna)

    def test_a_duplicate_lists_only_its_own_sessions(self):
        Browser(self.odoo, "anna")
        copy = self.duplicate("live_copy_list")
        odoo = Odoo(copy)
        self.addCleanup(odoo.stop)
        admin = Browser(odoo, "admin")
        listed = admin.kw("session.timeout.session", "search_read", [], ["is_current"])["result"]
        self.assertEqual([row["is_current"] for row in listed], [True])

    def duplicate(self, name):
        """As Odoo does it: of a database without connections."""
        MAIN.query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", self.database.name,
            database="postgres", user="postgres",
        )
        MAIN.query(f'CREATE DATABASE "{name}" TEMPLATE "{self.database.name}"', database="postgres")
        shutil.copytree(DATA / "filestore" / self.database.name, DATA / "filestore" / name)
        return Database(MAIN, name)
