"""The five moments in Django, by its test client, on transactions that commit."""

from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext

import another_process
from session_timeout.middleware import SID


def ask(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


def idle_for(sid, interval):
    """Moves a session's activity back, as if nobody had come for that long."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE session_timeout.session SET last_activity = clock_timestamp() - %s::interval"
            " WHERE digest = session_timeout.session_digest(%s)",
            [interval, sid],
        )
        assert cursor.rowcount == 1


def idleness(sid):
    """How many seconds a session has been idle."""
    return ask(
        "SELECT extract(epoch FROM clock_timestamp() - last_activity)::float FROM session_timeout.peek_session(%s)", sid
    )


def is_open(sid):
    return ask("SELECT valid FROM session_timeout.peek_session(%s)", sid)


def is_open_elsewhere(sid):
    statement = "SELECT valid FROM session_timeout.peek_session(%s)"
    return another_process.ask(connection.settings_dict["NAME"], statement, sid) == "True"


class FiveMoments(TransactionTestCase):
    def setUp(self):
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE session_timeout.session")
        self.last_event = ask("SELECT coalesce(max(id), 0) FROM session_timeout.session_event")
        for name in ("alice", "bob"):
            User.objects.create_user(name, password="old")

    def browser(self, user=None, password="old"):
        """A browser, in which a user has logged in; a view that fails there is answered with 500."""
        client = Client(raise_request_exception=False)
        if user:
            self.log_in(client, user, password)
        return client

    def log_in(self, client, user, password="old"):
        answer = client.post("/log_in", {"username": user, "password": password})
        self.assertEqual(answer.status_code, 302)

    def change_password(self, client):
        passwords = {"old_password": "old", "new_password1": "new", "new_password2": "new"}
        self.assertEqual(client.post("/password", passwords).status_code, 302)

    def events(self):
        """Who was logged out in this test, and how."""
        statement = "SELECT user_name, kind FROM session_timeout.session_event WHERE id > %s ORDER BY id"
        with connection.cursor() as cursor:
            cursor.execute(statement, [self.last_event])
            return cursor.fetchall()

    def assert_user(self, client, user, path="/"):
        self.assertEqual(client.get(path).content.decode(), user)

    # Login

    def test_a_login_opens_a_session_under_the_name_of_the_user(self):
        client = self.browser("alice")
        self.assert_user(client, "alice")
        sid = client.session[SID]
        self.assertEqual(ask("SELECT user_name FROM session_timeout.peek_session(%s)", sid), "alice")
        self.assertTrue(is_open_elsewhere(sid))

    def test_a_login_in_a_view_that_fails_opens_nothing(self):
        client = self.browser()
        self.assertEqual(client.get("/log_in_and_fail").status_code, 500)
        self.assert_user(client, "")
        self.assertEqual(ask("SELECT count(*) FROM session_timeout.session"), 0)

    def test_the_logins_of_tests_without_a_request_open_a_session_too(self):
        client = self.browser()
        client.force_login(User.objects.get(username="alice"))
        self.assert_user(client, "alice")

    def test_a_session_without_an_id_is_logged_out(self):
        client = self.browser("alice")
        session = client.session
        del session[SID]
        session.save()
        self.assert_user(client, "")

    # Each request

    def test_a_request_counts_as_activity(self):
        client = self.browser("alice")
        idle_for(client.session[SID], "1 hour")
        self.assert_user(client, "alice")
        self.assertLess(idleness(client.session[SID]), 60)

    def test_a_request_to_an_ignored_url_does_not_count(self):
        client = self.browser("alice")
        idle_for(client.session[SID], "1 hour")
        self.assert_user(client, "alice", "/longpolling/poll")
        self.assertGreater(idleness(client.session[SID]), 3500)

    def test_a_url_that_only_begins_like_an_ignored_one_counts(self):
        client = self.browser("alice")
        idle_for(client.session[SID], "1 hour")
        self.assert_user(client, "alice", "/longpolling/poll%3Forders")
        self.assertLess(idleness(client.session[SID]), 60)

    def test_a_session_that_was_idle_for_longer_than_the_delay_is_logged_out(self):
        client = self.browser("alice")
        idle_for(client.session[SID], "3 hours")
        self.assert_user(client, "")
        self.assertEqual(client.cookies["sessionid"].value, "")
        self.assertEqual(ask("SELECT count(*) FROM django_session"), 0)
        self.assert_user(client, "")

    def test_an_anonymous_request_asks_nothing(self):
        client = self.browser()
        client.get("/cart")
        with CaptureQueriesContext(connection) as queries:
            client.get("/cart")
        self.assertFalse([query for query in queries if "session_timeout." in query["sql"]])

    def test_activity_stays_where_a_view_fails(self):
        client = self.browser("alice")
        idle_for(client.session[SID], "1 hour")
        self.assertEqual(client.get("/create_group_and_fail").status_code, 500)
        self.assertFalse(Group.objects.exists(), "the view's transaction is rolled back")
        self.assertLess(idleness(client.session[SID]), 60)

    def test_a_session_that_another_process_closes_is_logged_out(self):
        client = self.browser("alice")
        database = connection.settings_dict["NAME"]
        closed = another_process.ask(database, "SELECT session_timeout.close_user_sessions(%s)", "alice")
        self.assertEqual(closed, "1")
        self.assert_user(client, "")

    # Logout

    def test_a_logout_closes_the_session_for_other_processes_too(self):
        client = self.browser("alice")
        sid = client.session[SID]
        client.post("/log_out")
        self.assertFalse(is_open_elsewhere(sid))
        self.assertEqual(self.events(), [("alice", "closed")])

    def test_a_logout_stays_where_a_view_fails(self):
        client = self.browser("alice")
        sid = client.session[SID]
        self.assertEqual(client.get("/log_out_and_fail").status_code, 500)
        self.assertFalse(is_open(sid))

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies")
    def test_a_copied_signed_cookie_is_worth_nothing_after_the_logout(self):
        client, thief = self.browser("alice"), self.browser()
        thief.cookies["sessionid"] = client.cookies["sessionid"].value
        self.assert_user(thief, "alice")
        client.post("/log_out")
        self.assert_user(thief, "")

    # Change of the session key

    def test_a_login_over_an_anonymous_session_keeps_its_data_and_opens_a_session(self):
        client = self.browser()
        client.get("/cart")
        key = client.session.session_key
        self.log_in(client, "alice")
        self.assertNotEqual(client.session.session_key, key)
        self.assertEqual(client.get("/cart").content, b"2")
        self.assert_user(client, "alice")

    def test_a_login_as_another_user_closes_the_session_of_the_first(self):
        client = self.browser("alice")
        sid = client.session[SID]
        self.log_in(client, "bob")
        self.assert_user(client, "bob")
        self.assertFalse(is_open(sid))
        self.assertEqual(self.events(), [("alice", "closed")])

    def test_a_new_key_goes_on_with_the_same_clocks(self):
        client = self.browser("alice")
        key, sid = client.session.session_key, client.session[SID]
        opened = ask("SELECT opened_at FROM session_timeout.peek_session(%s)", sid)
        self.change_password(client)
        self.assertNotEqual(client.session.session_key, key)
        self.assertEqual(ask("SELECT opened_at FROM session_timeout.peek_session(%s)", client.session[SID]), opened)

    # Change of the password

    def test_a_change_of_the_password_keeps_this_session_and_closes_the_others_of_the_user(self):
        client, other, bob = self.browser("alice"), self.browser("alice"), self.browser("bob")
        self.change_password(client)
        self.assertTrue(is_open(client.session[SID]))
        self.assertEqual(self.events(), [("alice", "revoked")])
        self.assert_user(client, "alice")
        self.assert_user(other, "")
        self.assert_user(bob, "bob")

    def test_a_change_of_the_password_in_a_view_that_fails_closes_nothing(self):
        client, other = self.browser("alice"), self.browser("alice")
        self.assertEqual(client.get("/change_password_and_fail").status_code, 500)
        self.assert_user(client, "alice")
        self.assert_user(other, "alice")

    def test_a_password_set_from_elsewhere_closes_all_sessions_of_the_user(self):
        bob = self.browser("bob")
        self.browser("alice"), self.browser("alice")
        user = User.objects.get(username="alice")
        user.set_password("new")
        user.save()
        self.assertEqual(self.events(), [("alice", "revoked")] * 2)
        self.assert_user(bob, "bob")

    # What the server sees

    def test_no_statement_to_the_extension_has_the_session_key(self):
        client = self.browser()
        keys = set()
        with CaptureQueriesContext(connection) as queries:
            for act in (
                lambda: client.get("/cart"),
                lambda: self.log_in(client, "alice"),
                lambda: self.change_password(client),
                lambda: client.get("/"),
                lambda: client.post("/log_out"),
            ):
                act()
                keys.add(client.session.session_key)
        keys.discard(None)
        statements = [query["sql"] for query in queries if "session_timeout." in query["sql"]]
        self.assertEqual(len(keys), 3)
        for call in ("open_session", "check_session", "close_user_sessions", "close_session"):
            self.assertTrue([statement for statement in statements if call in statement], call)
        for key in keys:
            self.assertFalse([statement for statement in statements if key in statement])
