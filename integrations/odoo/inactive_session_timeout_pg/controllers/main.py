from odoo.http import Controller, request, route

from ..models.session_timeout_login import identifier_of

NOT_LOGGED_IN = {"valid": False, "expires_in": None, "warn": False}


class SessionTimeout(Controller):
    # auth="public": a session whose file is gone gets an answer, not an error.
    @route("/inactive_session_timeout_pg/outlook", type="jsonrpc", auth="public")
    def outlook(self):
        """How long the session has left. Asking is no activity."""
        if not request.session.uid:
            return NOT_LOGGED_IN
        return request.env["session.timeout.login"]._outlook(identifier_of(request.session))

    @route("/inactive_session_timeout_pg/stay", type="jsonrpc", auth="user")
    def stay(self):
        """The user wants to stay: activity, also where a pattern of the ignored URLs matches this path."""
        return request.env["session.timeout.login"]._outlook(identifier_of(request.session), touch=True)
