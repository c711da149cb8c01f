"""The sessions this database has opened, and what is asked of the extension about them.

A session is known to the extension by the first 42 characters of Odoo's session id. They stay the same over the soft
rotation, they are what ``res.device.log`` stores, and they are no login by themselves.

The table is what makes adoption safe. A session whose row in the extension is gone has either ended, or was logged in
where this addon could not see it: before it was installed, or on a route without a database. Which of the two, its own
file cannot tell for certain: what a request writes there may be lost, or come late. So the extension's row and the
record here are written in one transaction, and a session that has a record is never opened a second time.

A record must outlive every copy of the session's file, and none can be sure to: a file may be on another host, or not
go. It stays as long as a browser keeps its cookie, and as long as there is a file to be seen. What comes later still is
known by the mark in its file, which each session gets that has been let in here.
"""

import contextlib
import logging
import time
from datetime import timedelta

import psycopg2

from odoo import SUPERUSER_ID, api, fields, models
from odoo.http import STORED_SESSION_BYTES, get_session_max_inactivity, request, root

_logger = logging.getLogger(__name__)

WEBSOCKET = "/websocket"
LOGIN_PAGE = "/web/login"
OUTLOOK = "/inactive_session_timeout_pg/outlook"
# What comes though nobody is there, whatever the ignored URLs say.
UNATTENDED = {
    # A websocket's messages, in both directions.
    WEBSOCKET,
    "/websocket/on_closed",
    "/websocket/peek_notifications",
    # What the web client asks for whenever it is connected anew, which Odoo's server brings about every 60 to 90
    # minutes, and after a connection that was lost.
    "/bus/has_missed_notifications",
    "/web/webclient/version_info",
    # What it asks for because somebody else has written a message, created a channel, or deleted something.
    "/web/dataset/call_kw/discuss.channel/channel_fetched",
    "/discuss/channel/mark_as_read",
    "/mail/data",
    # What a till asks for whenever its network is back, and because another till has changed an order.
    "/pos/ping",
    "/web/dataset/call_kw/pos.config/read_config_open_orders",
    # Ours: how long is left, and a login page that waits for a login in another tab.
    OUTLOOK,
    LOGIN_PAGE,
}
# In the headers of a request that the web client sends though nobody asked for it. Any client may say so: such a request
# is held to the same limits, and only keeps nothing alive.
BACKGROUND = "X-Session-Timeout-Background"

# What is asked on each request. The second column: what this server has seen of the session does not reach the others
# (a replica, or a read-only transaction where the library is not preloaded).
CHECK = """
    SELECT session_timeout.check_session(%(identifier)s, %(path)s),
           pg_catalog.pg_is_in_recovery()
           OR pg_catalog.current_setting('session_timeout.max_sessions', true) IS NULL
"""
# The same for what is no activity: there is nothing for the others to know. Unlike a check on an ignored URL, it refuses
# a session past its deadline at once.
LOOK = "SELECT v.valid, false FROM session_timeout.peek_session(%(identifier)s) AS v"
# Ends a session that has been refused, as a look does not. True: its limit has been raised since, and it is not touched.
EXPIRE = """
    SELECT CASE WHEN v.valid THEN true ELSE session_timeout.check_session(%(identifier)s) END
    FROM session_timeout.peek_session(%(identifier)s) AS v
"""
# Why a session has ended, as a verdict or an event of the extension says it, ...
EXPIRED = ("idle_expired", "absolute_expired")
# ... and what it cannot say, which is noted in the session's record when it is ended here.
ACCOUNT_CHANGED, ARCHIVED = "account_changed", "archived"
LOGGED_OUT, LOGGED_OUT_BY_ADMINISTRATOR = "logged_out", "logged_out_by_administrator"
# In the session that the browser gets instead: that reason, for the login page.
REASON = "inactive_session_timeout_pg_reason"
# A session that Odoo makes for a program of its own, such as the one that prints a report. Its file is deleted right
# afterwards, without a logout.
TECHNICAL = "_trace_disable"
TECHNICAL_DELAY = "5 minutes"
# In a session's file: which installation of this addon, of those that this database has had, opened it, under what name.
# A copy of the session under another name is none that was opened.
MARK = "inactive_session_timeout_pg"
# The System Parameter with that installation's id.
INSTALLATION = "inactive_session_timeout_pg.installation"
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
TIDY_BATCH = 1000


def identifier_of(session):
    """What a session is called in the extension."""
    return session.sid[:STORED_SESSION_BYTES]


class SessionTimeoutLogin(models.Model):
    _name = "session.timeout.login"
    _description = "Session opened in the session timeout extension"
    _rec_name = "user_id"
    _log_access = False

    identifier = fields.Char(required=True)
    # Where the session was opened. A copy of that database has the record too, but neither the session nor its files.
    database = fields.Char(required=True)
    user_id = fields.Many2one("res.users", required=True, ondelete="cascade", index=True)
    technical = fields.Boolean()
    ended_at = fields.Datetime(index="btree_not_null")
    reason = fields.Char()

    _identifier_unique = models.Constraint("UNIQUE (identifier)", "A session is opened once.")

    # ---- Checks ----

    @api.model
    def _is_open(self, session, path):
        """Check a logged-in session: one statement in the request's own cursor. False: it has been logged out."""
        identifier = identifier_of(session)
        unattended = path in UNATTENDED or (request and BACKGROUND in request.httprequest.headers)
        statement = LOOK if unattended else CHECK
        cr = self.env.cr
        cr.execute(statement, {"identifier": identifier, "path": path})
        is_open, kept_here = cr.fetchone()
        if is_open and (not (cr.readonly and kept_here) or self._pass_on_activity(identifier, path)):
            return True
        if self._second_look(session, statement, path):
            return True
        # Without preload the check has deleted the row in this transaction, and holds its lock.
        cr.rollback()
        with self._own_cursor() as own:
            own.execute(EXPIRE, {"identifier": identifier})
            [is_open] = own.fetchone()
        if not is_open:
            root.session_store.delete_from_identifiers([identifier])
        return is_open

    def _second_look(self, session, statement, path):
        """Ask again, outside the request's transaction and never on a replica; open what has never been opened."""
        identifier = identifier_of(session)
        try:
            with self._own_cursor() as cr:
                cr.execute(statement, {"identifier": identifier, "path": path})
                return cr.fetchone()[0] or self._adopt(cr, session)
        except psycopg2.errors.SerializationFailure:
            # A parallel request of the same session has adopted it.
            with self._own_cursor() as cr:
                cr.execute(statement, {"identifier": identifier, "path": path})
                return cr.fetchone()[0]

    @api.model
    def _has_ended(self, session, path):
        """Whether this is the session id of a session that is over, with what was logged in still in its file or not."""
        if session.uid:
            return not self._is_open(session, path)
        return bool(self.sudo().search_count([("identifier", "=", identifier_of(session))], limit=1))

    @api.model
    def _why_ended(self, identifier):
        """Why this session has ended, if that is known."""
        with self._own_cursor() as cr:
            cr.execute("SELECT status FROM session_timeout.peek_session(%s)", (identifier,))
            [reason] = cr.fetchone()
        if reason in EXPIRED:
            return reason
        # Else its row is gone, and this transaction, which is a later one, sees the event.
        with self._own_cursor() as cr:
            cr.execute(
                """
                SELECT kind FROM session_timeout.session_event WHERE digest = session_timeout.session_digest(%s)
                ORDER BY id DESC LIMIT 1
                """,
                (identifier,),
            )
            [kind] = cr.fetchone() or [None]
            if kind in EXPIRED:
                return kind
            cr.execute("SELECT reason FROM session_timeout_login WHERE identifier = %s", (identifier,))
            [noted] = cr.fetchone() or [None]
        return noted or (ACCOUNT_CHANGED if kind == "revoked" else None)

    @api.model
    def _adopt(self, cr, session):
        """Open a session, unless it has been opened before. True: opened."""
        if session.get(MARK) == self.with_env(self.env(cr=cr))._mark_of(session):
            return False
        technical = bool(session.get(TECHNICAL))
        values = {
            "identifier": identifier_of(session),
            "uid": session.uid,
            "superuser": SUPERUSER_ID,  # is archived, and still somebody's after /web/become
            "technical": technical,
            "delay": TECHNICAL_DELAY if technical else None,
        }
        cr.execute(
            """
            INSERT INTO session_timeout_login (identifier, database, user_id, technical)
            SELECT %(identifier)s, pg_catalog.current_database(), u.id, %(technical)s
            FROM res_users AS u WHERE u.id = %(uid)s AND (u.active OR u.id = %(superuser)s)
            ON CONFLICT (identifier) DO NOTHING
            """,
            values,
        )
        if not cr.rowcount:
            return False
        # An extension that has been created anew knows no session: none is opened before it has its parameters.
        self.env(cr=cr)["ir.config_parameter"]._session_timeout_restore()
        cr.execute(
            """
            SELECT session_timeout.open_session(%(identifier)s, u.login, idle_delay => %(delay)s)
            FROM res_users AS u WHERE u.id = %(uid)s
            """,
            values,
        )
        return True

    @api.model
    def _mark_of(self, session):
        return [self.env["ir.config_parameter"].sudo().get_param(INSTALLATION), identifier_of(session)]

    @api.model
    def _mark(self, session):
        """Note in the session that it has been opened; the request saves it, if it is changed."""
        session[MARK] = self._mark_of(session)

    def _pass_on_activity(self, identifier, path):
        """What a replica has seen stays there: tell the primary, now and then. False: it has ended the session."""
        passed_on = self.env.registry.__dict__.setdefault("_session_timeout_passed_on", {})
        now = time.monotonic()
        if passed_on.get(identifier, 0) > now:
            return True
        with self._own_cursor() as cr:
            cr.execute(
                "SELECT valid, status, extract(epoch FROM expires_in) FROM session_timeout.session_verdict(%s, %s)",
                (identifier, path),
            )
            valid, status, expires_in = cr.fetchone()
        if status != "active":
            return valid  # an ignored URL has passed on nothing
        # Activity is exact to a hundredth of the delay, and to a minute.
        pause = 60 if expires_in is None else max(0, min(60, float(expires_in) / 100))
        if len(passed_on) > 10000:
            passed_on.clear()
        passed_on[identifier] = now + pause
        return True

    @contextlib.contextmanager
    def _own_cursor(self):
        """A transaction of its own on the primary, which commits. It waits for no lock that its caller may hold."""
        if self.env.cr.readonly:
            # As Odoo itself does where it writes in such a request: in test mode both are one transaction, which would
            # be read-only for this one too.
            self.env.cr.rollback()
        with self.env.registry.cursor() as cr:
            cr.execute(LOCK_TIMEOUT)
            yield cr

    # ---- The life of a session ----

    @api.model
    def _opened(self, session, replaced=None):
        """A login: ``session`` is new, and takes the place of the session identified by ``replaced``."""
        self.env["res.users"].flush_model(["login", "active"])
        with contextlib.nullcontext(self.env.cr) if not self.env.cr.readonly else self._own_cursor() as cr:
            # In this order: a revocation of the user in flight waits for the old session's row, and the new one for it.
            self._adopt(cr, session)
            if replaced:
                cr.execute("SELECT session_timeout.close_session(%s)", (replaced,))
        self._mark(session)
        session.pop(REASON, None)
        root.session_store.save(session)

    @api.model
    def _logged_out(self, identifier):
        """A logout, which stands whatever becomes of the request: done after it, as its check may hold the row's lock."""
        registry = self.env.registry

        def close():
            try:
                with registry.cursor() as cr:
                    cr.execute(LOCK_TIMEOUT)
                    cr.execute("SELECT session_timeout.close_session(%s)", (identifier,))
            except psycopg2.errors.LockNotAvailable:
                # Its file is gone, so nobody can use it: it will expire.
                _logger.warning("A session that is being changed was logged out: left to expire")

        self.env.cr.postcommit.add(close)
        self.env.cr.postrollback.add(close)

    @api.model
    def _close(self, identifiers):
        """End sessions as part of this transaction; their files go when it commits."""
        identifiers = list(identifiers)
        if not identifiers:
            return
        self.env.cr.execute("SELECT session_timeout.close_session(i) FROM unnest(%s) AS i", (identifiers,))
        for login in self.sudo().search([("identifier", "in", identifiers)]):
            login.reason = LOGGED_OUT if login.user_id == self.env.user else LOGGED_OUT_BY_ADMINISTRATOR
        self.env["res.device.log"].sudo().search(
            [("session_identifier", "in", identifiers), ("revoked", "=", False)]
        ).write({"revoked": True})

        @self.env.cr.postcommit.add
        def delete_files():
            root.session_store.delete_from_identifiers(identifiers)

    @api.model
    def _current(self):
        """The record of the request's own session."""
        if not request or not request.session.uid:
            return self.sudo().browse()
        return self.sudo().search([("identifier", "=", identifier_of(request.session))])

    @api.model
    def _outlook(self, identifier, touch=False):
        """How a session stands; with ``touch``, this counts as activity."""
        function = "session_verdict" if touch else "peek_session"
        self.env.cr.execute(
            f"SELECT valid, extract(epoch FROM expires_in), warn FROM session_timeout.{function}(%s)", (identifier,)
        )
        valid, expires_in, warn = self.env.cr.fetchone()
        return {
            "valid": valid,
            "expires_in": float(expires_in) if valid and expires_in is not None else None,
            "warn": warn,
        }

    # ---- What is left of ended sessions ----

    @api.model
    def _is_preloaded(self):
        self.env.cr.execute("SELECT pg_catalog.current_setting('session_timeout.max_sessions', true) IS NOT NULL")
        return self.env.cr.fetchone()[0]

    @api.model
    def _cron_tidy(self):
        """Delete the files of sessions that the extension has ended, and later what is known of them here."""
        if not self._is_preloaded():
            self.env.cr.execute("SELECT session_timeout.purge_sessions()")  # preloaded, a worker does it
        self.env["ir.config_parameter"]._session_timeout_follow()
        # One data directory serves all databases: that these sessions are over says nothing about the original's.
        self.env.cr.execute("DELETE FROM session_timeout_login WHERE database <> pg_catalog.current_database()")
        # Files may have been written once more by a request that was under way then.
        kept_for = timedelta(seconds=get_session_max_inactivity(self.env))
        over = self._ended() + self.search([("ended_at", "<", fields.Datetime.now() - kept_for)])
        progress = self.env["ir.cron"]._commit_progress
        progress(remaining=len(over))
        for at in range(0, len(over), TIDY_BATCH):
            batch = over[at : at + TIDY_BATCH]
            batch.exists()._tidy()
            if not progress(len(batch)):
                break

    def _tidy(self):
        old = self.filtered("ended_at")
        identifiers = self.mapped("identifier")
        root.session_store.delete_from_identifiers(identifiers)
        gone = root.session_store.get_missing_session_identifiers(old.mapped("identifier"))
        self.env["res.device.log"].sudo().search(
            [("session_identifier", "in", identifiers), ("revoked", "=", False)]
        ).write({"revoked": True})
        forgotten = old.filtered(lambda login: login.identifier in gone)
        # Those with a file that does not go are tried again after the same time.
        (self - forgotten).write({"ended_at": fields.Datetime.now()})
        forgotten.unlink()

    @api.model
    def _ended(self):
        """The records of sessions whose end has not been looked after yet."""
        self.env.cr.execute(
            """
            SELECT l.id FROM session_timeout_login AS l
            WHERE l.database = pg_catalog.current_database() AND l.ended_at IS NULL AND NOT EXISTS (
                SELECT FROM session_timeout.session AS s
                WHERE s.digest = session_timeout.session_digest(l.identifier))
            ORDER BY l.id
            """
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    @api.model
    def _end_expired(self):
        """Before the extension goes: to Odoo alone, a session that has expired would be logged in as long as its file is."""
        self.env.cr.execute("SELECT session_timeout.purge_sessions()", log_exceptions=False)
        root.session_store.delete_from_identifiers(self._ended().mapped("identifier"))
