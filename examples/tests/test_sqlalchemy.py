"""The five moments with SQLAlchemy, on the database of PGDATABASE."""

import os
import secrets
import unittest

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

import another_process
import session_timeout

engine = create_engine("postgresql+psycopg://")


def setUpModule():
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION inactive_session_timeout"))


def tearDownModule():
    engine.dispose()


class FailingRequest(Exception):
    """What a request raises whose transaction is to be rolled back."""


class FiveMoments(unittest.TestCase):
    def setUp(self):
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE session_timeout.session"))
            last_event = text("SELECT coalesce(max(id), 0) FROM session_timeout.session_event")
            self.last_event = connection.scalar(last_event)

    def logged_in(self, user):
        sid = secrets.token_urlsafe(32)
        with engine.begin() as connection:
            session_timeout.log_in(connection, sid, user)
        return sid

    def idle_for(self, sid, interval):
        """Moves a session's activity back, as if nobody had come for that long."""
        statement = text(
            "UPDATE session_timeout.session SET last_activity = clock_timestamp() - cast(:interval AS interval)"
            " WHERE digest = session_timeout.session_digest(:sid)"
        )
        with engine.begin() as connection:
            self.assertEqual(connection.execute(statement, {"interval": interval, "sid": sid}).rowcount, 1)

    def idleness(self, sid):
        """How many seconds a session has been idle."""
        statement = text(
            "SELECT extract(epoch FROM clock_timestamp() - last_activity) FROM session_timeout.peek_session(:sid)"
        )
        with engine.connect() as connection:
            return connection.scalar(statement, {"sid": sid})

    def events(self):
        """Who was logged out in this test, and how."""
        statement = text("SELECT user_name, kind FROM session_timeout.session_event WHERE id > :id ORDER BY id")
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(statement, {"id": self.last_event})]

    # Login

    def test_a_login_opens_a_session_under_the_name_of_the_user(self):
        sid = self.logged_in("alice")
        self.assertIs(session_timeout.is_valid(engine, sid, "/orders"), True)
        with engine.connect() as connection:
            statement = text("SELECT user_name FROM session_timeout.peek_session(:sid)")
            self.assertEqual(connection.scalar(statement, {"sid": sid}), "alice")

    def test_a_login_that_is_rolled_back_opens_nothing(self):
        with self.assertRaises(FailingRequest), engine.begin() as connection:
            session_timeout.log_in(connection, "rolled back", "alice")
            raise FailingRequest
        self.assertIs(session_timeout.is_valid(engine, "rolled back", "/orders"), False)

    # Each request

    def test_a_request_counts_as_activity_and_one_to_an_ignored_url_does_not(self):
        sid = self.logged_in("alice")
        self.idle_for(sid, "1 hour")
        self.assertIs(session_timeout.is_valid(engine, sid, "/longpolling/poll"), True)
        self.assertGreater(self.idleness(sid), 3500)
        self.assertIs(session_timeout.is_valid(engine, sid, "/orders"), True)
        self.assertLess(self.idleness(sid), 60)

    def test_a_session_that_was_idle_for_longer_than_the_delay_is_not_valid(self):
        sid = self.logged_in("alice")
        self.idle_for(sid, "3 hours")
        self.assertIs(session_timeout.is_valid(engine, sid, "/orders"), False)

    def test_activity_stays_where_the_request_rolls_back(self):
        sid = self.logged_in("alice")
        self.idle_for(sid, "1 hour")
        with self.assertRaises(FailingRequest), engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            session_timeout.is_valid(engine, sid, "/orders")
            raise FailingRequest
        self.assertLess(self.idleness(sid), 60)

    # Logout

    def test_a_logout_closes_the_session_for_other_processes_too(self):
        sid = self.logged_in("alice")
        check = "SELECT session_timeout.check_session(%s, '/orders')"
        self.assertEqual(another_process.ask(os.environ["PGDATABASE"], check, sid), "True")
        self.assertIs(session_timeout.log_out(engine, sid), True)
        self.assertEqual(another_process.ask(os.environ["PGDATABASE"], check, sid), "False")
        self.assertEqual(self.events(), [("alice", "closed")])

    def test_a_logout_stays_where_the_request_rolls_back(self):
        sid = self.logged_in("alice")
        with self.assertRaises(FailingRequest), engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            session_timeout.log_out(engine, sid)
            raise FailingRequest
        self.assertIs(session_timeout.is_valid(engine, sid, "/orders"), False)

    # Change of the session id

    def test_a_session_goes_on_under_its_new_id_alone(self):
        old, new = self.logged_in("alice"), secrets.token_urlsafe(32)
        with engine.begin() as connection:
            self.assertIs(session_timeout.change_sid(connection, old, new), True)
        self.assertIs(session_timeout.is_valid(engine, new, "/orders"), True)
        self.assertIs(session_timeout.is_valid(engine, old, "/orders"), False)

    def test_a_session_that_has_ended_gets_no_new_id(self):
        with engine.begin() as connection:
            self.assertIs(session_timeout.change_sid(connection, "unknown", "new"), False)

    # Change of the password

    def test_a_change_of_the_password_keeps_this_session_and_closes_the_others_of_the_user(self):
        here, there, bob = self.logged_in("alice"), self.logged_in("alice"), self.logged_in("bob")
        with Session(engine) as session, session.begin():
            self.assertEqual(session_timeout.change_password(session, "alice", here), 1)
        self.assertIs(session_timeout.is_valid(engine, here, "/orders"), True)
        self.assertIs(session_timeout.is_valid(engine, there, "/orders"), False)
        self.assertIs(session_timeout.is_valid(engine, bob, "/orders"), True)
        self.assertEqual(self.events(), [("alice", "revoked")])

    def test_a_reset_of_the_password_closes_all_sessions_of_the_user(self):
        self.logged_in("alice"), self.logged_in("alice")
        with engine.begin() as connection:
            self.assertEqual(session_timeout.change_password(connection, "alice"), 2)

    def test_a_change_of_the_password_that_is_rolled_back_closes_nothing(self):
        sid = self.logged_in("alice")
        with self.assertRaises(FailingRequest), engine.begin() as connection:
            session_timeout.change_password(connection, "alice")
            raise FailingRequest
        self.assertIs(session_timeout.is_valid(engine, sid, "/orders"), True)

    # What the server sees

    def test_a_check_is_one_statement_and_shows_no_session_id(self):
        sid = self.logged_in("alice")
        last_statements = text("SELECT query FROM pg_stat_activity WHERE datname = current_database()")
        with engine.connect() as watcher:
            session_timeout.is_valid(engine, sid, "/orders")
            shown = watcher.scalars(last_statements).all()
        self.assertTrue([query for query in shown if "check_session($1" in query], shown)
        self.assertFalse([query for query in shown if sid in query])


if __name__ == "__main__":
    unittest.main()
