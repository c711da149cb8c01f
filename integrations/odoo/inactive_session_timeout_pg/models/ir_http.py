from odoo import models
from odoo.http import SessionExpiredException, is_cors_preflight, request

from .session_timeout_login import identifier_of

# Logging in and out are open to a session that has expired: refused, they would lead to themselves. The last only looks.
UNCHECKED = {
    "/web/login",
    "/web/session/authenticate",
    "/web/session/logout",
    "/inactive_session_timeout_pg/outlook",
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
        session = request.session
        # Only a file under the whole session id gives a uid: what is remembered here is proven, unlike the cookie.
        request.session_timeout_identifier = identifier_of(session) if session.uid else None
        path = request.httprequest.path
        if not session.uid or path in UNCHECKED:
            return
        logins = request.env["session.timeout.login"]
        if not logins._is_open(session, path):
            # Raised while session.uid is set, Odoo logs out, and redirects a page to the login.
            raise SessionExpiredException("Session expired: idle for too long")
        logins._mark(session)

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
