import hashlib
import math
import time

from odoo import models
from odoo.http import SessionExpiredException, get_session_max_inactivity, is_cors_preflight, request, root
from odoo.tools import hmac

from .session_timeout_login import LOGIN_PAGE, MARK, REASON, identifier_of

# Logging in and out are open to a session that has expired: refused, they would lead to themselves.
UNCHECKED = {
    LOGIN_PAGE,
    "/web/session/authenticate",
    "/web/session/logout",
}
# For the log, and for who asks by JSON-RPC. The login page has its own words.
MESSAGES = {
    "idle_expired": "Session expired: idle for too long",
    "absolute_expired": "Session expired: older than the absolute delay",
    "account_changed": "Session ended: the user's password or another detail of the account was changed",
    "archived": "Session ended: the user is archived",
    "logged_out": "Session ended: the user has logged it out",
    "logged_out_by_administrator": "Session ended: an administrator has logged it out",
}


class IrHttp(models.AbstractModel):
    _inherit = "ir.http"

    @classmethod
    def _authenticate(cls, endpoint):
        takes_key = endpoint.routing["auth"] == "bearer"
        if not takes_key and not is_cors_preflight(request, endpoint):
            # Before all else, so that a refused request has done nothing.
            cls._check_session_timeout()
        super()._authenticate(endpoint)
        # Such a route lets in by a key or by the session. Odoo has decided, and keeps no session where it was the key.
        if takes_key and request.session.can_save:
            cls._check_session_timeout()

    @classmethod
    def _serve_fallback(cls):
        # Paths without a route (a website's pages, for one) do not pass _authenticate.
        cls._check_session_timeout()
        return super()._serve_fallback()

    @classmethod
    def _check_session_timeout(cls):
        session, path = request.session, request.httprequest.path
        # Only a file under the whole session id gives a uid: what is remembered here is proven, unlike the cookie. A file
        # from before a soft rotation proves nothing any more: Odoo logs it out, and what it has become goes on.
        proven = session.uid and session.get("deletion_time", math.inf) > time.time()
        request.session_timeout_identifier = identifier_of(session) if proven else None
        logins = request.env["session.timeout.login"]
        if path == LOGIN_PAGE and request.httprequest.method == "GET" and logins._has_ended(session, path):
            cls._leave_session()  # before the form is made, which is good for this session id alone
        if not session.uid or path in UNCHECKED:
            return
        if not logins._is_open(session, path):
            reason = cls._leave_session()
            raise SessionExpiredException(MESSAGES.get(reason, "Session expired"))
        logins._mark(session)

    @classmethod
    def _leave_session(cls):
        """Log the browser out of a session that has ended, and return why it has; its cookie follows with the answer. All
        answers that do so give the same one: else the form in a tab would not go with the cookie that another tab has
        got meanwhile."""
        session = request.session
        reason = request.env["session.timeout.login"]._why_ended(identifier_of(session))
        request.session_timeout_identifier, request.session_timeout_left = None, True
        successor = hmac(request.env(su=True), MARK, session.sid, hashlib.sha512)[: len(session.sid)]
        session.logout(keep_db=True)
        root.session_store.delete(session)
        session.sid, session.should_rotate = successor, False
        if reason:
            session[REASON] = reason
        root.session_store.save(session)
        return reason

    @classmethod
    def _handle_error(cls, exception):
        response = super()._handle_error(exception)
        if isinstance(exception, SessionExpiredException) and getattr(request, "session_timeout_left", False):
            response.set_cookie(
                "session_id", request.session.sid, max_age=get_session_max_inactivity(request.env), httponly=True
            )
        return response

    @classmethod
    def _post_dispatch(cls, response):
        super()._post_dispatch(response)  # saves the session: a login gets its new session id here
        session = request.session
        before = getattr(request, "session_timeout_identifier", None)
        if session.uid and session.can_save and session.db == request.db and identifier_of(session) != before:
            request.env["session.timeout.login"]._opened(session, replaced=before)
        elif before and session.can_save and (not session.uid or session.db != request.db):
            # A password that a second factor must follow, or a login to another database: there is no way back.
            request.env["session.timeout.login"]._logged_out(before)

    @classmethod
    def _post_logout(cls):
        super()._post_logout()
        identifier = getattr(request, "session_timeout_identifier", None)
        if identifier:
            request.session_timeout_identifier = None
            request.env["session.timeout.login"]._logged_out(identifier)

    def session_info(self):
        info = super().session_info()
        if request.session.uid:
            outlook = self.env["session.timeout.login"]._outlook(identifier_of(request.session))
            info["inactive_session_timeout"] = {
                "expires_in": outlook["expires_in"],
                "warning": self.env["ir.config_parameter"]._session_timeout_warning(),
                "enabled": outlook["expires_in"] is not None,
            }
        return info
