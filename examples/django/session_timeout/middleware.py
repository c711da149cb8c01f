"""The five moments of a session, for Django 5.2 with psycopg 3, on the database `default`. In the settings:

    INSTALLED_APPS = [..., "session_timeout"]
    MIDDLEWARE = [..., "session_timeout.middleware.SessionTimeout"]  # after AuthenticationMiddleware
    AUTH_PASSWORD_VALIDATORS = [..., {"NAME": "session_timeout.middleware.CloseOtherSessions"}]

The extension is not told Django's session key, which is a login for whoever reads it in a log, but an id of our own,
made at each login and kept in the session's data. Django takes that data along when it changes the key (cycle_key(): at
a login over an anonymous session, after a change of the password) and drops it with the session (flush(): at a logout,
at a login as another user). So a new key needs no call, and an id that has gone from the data is a session that has
ended. This works with every session engine; with signed cookies, a copied cookie is worth nothing after the logout.

Sessions from before the installation have no id, and are logged out at their next request.
"""

import secrets
from contextvars import ContextVar

from django.contrib.auth import SESSION_KEY, logout
from django.db import connection
from django.utils.encoding import escape_uri_path

SID = "session_timeout_sid"  # in the session's data

present = ContextVar("present", default=None)  # the session of the request under way


def ask(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


def open_session(request, user, **kwargs):
    """Login, by the signal user_logged_in: part of the view's transaction, where it has one."""
    request.session[SID] = secrets.token_hex(16)
    # For users whose name may change, take str(user.pk), here and below.
    ask("SELECT session_timeout.open_session(%s, %s)", request.session[SID], user.get_username())


class SessionTimeout:
    """Each request, and the end of a session. With ATOMIC_REQUESTS the transaction is the view's alone, so that these
    calls are in autocommit, and stay where a view fails."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        # Escaped anew, so that an encoded ? or # ends the path neither for Django nor for the list of ignored URLs.
        path = escape_uri_path(request.path)
        sid = request.session.get(SID)
        if SESSION_KEY in request.session and not ask("SELECT session_timeout.check_session(%s, %s)", sid, path):
            logout(request)
            sid = None
        token = present.set(request.session)
        try:
            response = self.get_response(request)
        finally:
            present.reset(token)
        if sid and request.session.get(SID) != sid:
            ask("SELECT session_timeout.close_session(%s)", sid)
        return response


class CloseOtherSessions:
    """Change of the password. Django tells password validators of each one when it saves the user: from a form, the
    admin, a reset or the command line. All sessions of the user are closed but the one that makes the change, as part of
    the same transaction. Django refuses these, too; here they end at once, with an event that says why."""

    def password_changed(self, password, user=None):
        if user is not None:
            sid = (present.get() or {}).get(SID)
            ask("SELECT session_timeout.close_user_sessions(%s, %s)", user.get_username(), sid)

    def validate(self, password, user=None):
        pass

    def get_help_text(self):
        return "A change of your password logs you out everywhere else."
