"""The check and the request's transaction: rollback, parallel requests, read-only cursors, a replica."""

import json

from harness import BINDIR, MAIN, Browser, Cluster, LiveCase, Odoo, as_server, eventually, in_parallel, requests


def check(odoo, sid):
    return requests.post(
        f"{odoo.url}/web/session/check", json={"jsonrpc": "2.0", "params": {}}, cookies={"session_id": sid}, timeout=60
    ).json()


class Transactions(LiveCase):
    def test_a_rollback_in_the_controller_keeps_activity(self):
        anna = Browser(self.odoo, "anna")
        before = self.database.last_activity(anna.identifier)
        self.assertIn("error", anna.kw("res.users", "no_such_method"))
        self.assertGreater(self.database.last_activity(anna.identifier), before)

    def test_parallel_requests_of_a_session_are_not_repeated(self):
        anna = Browser(self.odoo, "anna")
        answers = in_parallel(6, lambda _: [
            requests.post(
                f"{self.odoo.url}/web/dataset/call_kw/res.partner/search_read",
                json={"jsonrpc": "2.0", "params": {
                    "model": "res.partner", "method": "search_read", "args": [[], ["name"]], "kwargs": {}}},
                cookies={"session_id": anna.sid}, timeout=60,
            ).json().get("error", {}).get("data", {}).get("message") for _ in range(20)
        ])
        self.assertEqual(answers, [[None] * 20] * 6)
        self.assertNotIn("tries left", self.odoo.log())

    def test_a_check_takes_one_statement(self):
        anna = Browser(self.odoo, "anna")
        anna.is_logged_in()
        before = self.database.value("SELECT checks FROM session_timeout.stat_session_timeout")
        anna.is_logged_in()
        self.assertEqual(self.database.value("SELECT checks FROM session_timeout.stat_session_timeout"), before + 1)


class ReadOnly(LiveCase):
    """Routes marked as such have a read-only cursor, here on the same server."""

    options = ("--dev", "replica")

    def test_a_read_only_route_counts_as_activity(self):
        anna = Browser(self.odoo, "anna")
        before = self.database.last_activity(anna.identifier)
        self.assertTrue(anna.is_logged_in())
        self.assertGreater(self.database.last_activity(anna.identifier), before)
        self.assertNotIn("retrying with a read/write cursor", self.odoo.log())

    def test_an_expired_session_is_refused_there(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        self.assert_expired(anna.call("/web/session/check"))
        self.assertEqual(anna.files(), [])

    def test_a_session_from_before_is_adopted_there(self):
        anna = Browser(self.odoo, "anna")
        content = anna.content()
        content.pop("inactive_session_timeout_pg", None)
        anna.file().write_text(json.dumps(content))
        self.database.query("DELETE FROM session_timeout.session")
        self.database.query("DELETE FROM session_timeout_login")
        self.assertTrue(anna.is_logged_in())
        self.assertEqual(self.database.status(anna.identifier), "active")

    def test_a_logout_there_closes_it(self):
        anna = Browser(self.odoo, "anna")
        identifier = anna.identifier
        anna.page("/web/session/logout")
        self.assertIn(self.database.status(identifier), ("closed", "unknown"))


class Replica(LiveCase):
    """Read-only routes have their cursor on a hot standby."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.standby = Cluster(MAIN.directory.parent / "standby")
        as_server(
            BINDIR / "pg_basebackup", "-h", MAIN.directory, "-U", "postgres", "-D", MAIN.directory / "standby-data", "-R",
            "-c", "fast",
        )
        cls.standby.directory.mkdir()
        (MAIN.directory / "standby-data").rename(cls.standby.directory / "data")
        if as_server.__globals__["os"].getuid() == 0:
            as_server.__globals__["shutil"].chown(cls.standby.directory, "postgres")
        cls.standby.start(shared_preload_libraries="inactive_session_timeout", max_connections=200, hot_standby="on")
        cls.addClassCleanup(cls.standby.stop)
        cls.odoo.stop()
        cls.odoo = Odoo(cls.database, "--db_replica_host", str(cls.standby.directory))
        cls.addClassCleanup(cls.odoo.stop)

    def test_requests_that_only_read_keep_a_session_alive(self):
        anna = Browser(self.odoo, "anna")
        before = self.database.last_activity(anna.identifier)
        self.assertTrue(anna.is_logged_in())
        self.assertGreater(self.database.last_activity(anna.identifier), before)

    def test_an_ignored_request_does_not_take_the_turn_of_one_that_counts(self):
        self.database.set_param("ignored_url", "/web/session/check")
        ignored = "SELECT session_timeout.get_param('inactive_session_time_out_ignored_url')"
        eventually(lambda: self.standby.query(ignored, database=self.database.name) == [("/web/session/check",)])
        anna = Browser(self.odoo, "anna")
        self.assertTrue(anna.is_logged_in())
        before = self.database.last_activity(anna.identifier)
        self.assertIn("result", anna.call("/web/session/modules"))
        self.assertGreater(self.database.last_activity(anna.identifier), before)

    def test_a_session_is_known_before_the_replica_has_heard_of_it(self):
        self.standby.query("SELECT pg_wal_replay_pause()", database="postgres", user="postgres")
        self.addCleanup(self.standby.query, "SELECT pg_wal_replay_resume()", database="postgres", user="postgres")
        anna = Browser(self.odoo, "anna")
        self.assertTrue(anna.is_logged_in())

    def test_a_session_that_the_primary_has_ended_is_refused_before_the_replica_has_heard_of_it(self):
        anna = Browser(self.odoo, "anna")
        heard = f"SELECT valid FROM session_timeout.peek_session('{anna.identifier}')"
        eventually(lambda: self.standby.query(heard, database=self.database.name) == [(True,)])
        self.standby.query("SELECT pg_wal_replay_pause()", database="postgres", user="postgres")
        self.addCleanup(self.standby.query, "SELECT pg_wal_replay_resume()", database="postgres", user="postgres")
        self.database.query("SELECT session_timeout.close_session(%s)", anna.identifier)
        self.assert_expired(anna.call("/web/session/check"))
        self.assertEqual(self.standby.query(heard, database=self.database.name), [(True,)])

    def test_an_expired_session_is_refused(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        self.assert_expired(eventually(lambda: (a := anna.call("/web/session/check")).get("error") and a))
        self.assertIn(eventually(lambda: self.database.events(anna.identifier)), (["idle_expired"],))
        self.assertEqual(anna.files(), [])

