"""The five moments of a session, for SQLAlchemy 2 with psycopg 3 (postgresql+psycopg://…), which sends the session id
apart from the statement: what pg_stat_activity and logs show is `check_session($1, $2)`.

The application makes the session ids, random, and keeps its cookies. `engine` is its Engine; `connection` is a
Connection or an ORM Session in whose transaction the call belongs, with what else the application writes at that moment:

    with engine.begin() as connection:
        session_timeout.log_in(connection, sid, user)
"""

from sqlalchemy import text

OPEN = text("SELECT session_timeout.open_session(:sid, :user)")
CHECK = text("SELECT session_timeout.check_session(:sid, :path)")
CLOSE = text("SELECT session_timeout.close_session(:sid)")
ROTATE = text("SELECT session_timeout.rotate_session(:old, :new)")
CLOSE_OTHERS = text("SELECT session_timeout.close_user_sessions(:user, :sid)")


def in_autocommit(engine, statement, values):
    """A transaction of its own, in one round trip: it stays where the request's transaction rolls back."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return connection.scalar(statement, values)


def log_in(connection, sid, user):
    connection.execute(OPEN, {"sid": sid, "user": user})


def is_valid(engine, sid, path):
    """Each request, before it does anything. Where this is False, treat the request as nobody's and drop the cookie.
    `path` is the request's path as it was sent, not decoded."""
    return in_autocommit(engine, CHECK, {"sid": sid, "path": path})


def log_out(engine, sid):
    return in_autocommit(engine, CLOSE, {"sid": sid})


def change_sid(connection, old, new):
    """Change of the session id: clocks and user stay. Where this is False, the session has ended: log out."""
    return connection.scalar(ROTATE, {"old": old, "new": new})


def change_password(connection, user, sid=None):
    """Change of the password, with the UPDATE that stores it: closes the user's sessions but `sid`, and says how many.
    Without `sid`, all of them: a reset, or a lock-out."""
    return connection.scalar(CLOSE_OTHERS, {"user": user, "sid": sid})
