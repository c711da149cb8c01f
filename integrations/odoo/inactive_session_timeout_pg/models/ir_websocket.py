from odoo import models
from odoo.http import SessionExpiredException

from odoo.addons.bus import websocket
from odoo.addons.bus.websocket import wsrequest

from .session_timeout_login import WEBSOCKET


class IrWebsocket(models.AbstractModel):
    _inherit = "ir.websocket"

    @classmethod
    def _authenticate(cls):
        session = wsrequest.session
        if session.uid and not wsrequest.env["session.timeout.login"]._is_open(session, WEBSOCKET):
            raise SessionExpiredException()
        super()._authenticate()


# Messages from the server to a browser pass no model: the websocket asks this function alone before it sends them.
_check_session = websocket.check_session


def check_session(session, env, request=None):
    if not _check_session(session, env, request):
        return False
    logins = env.get("session.timeout.login")
    return logins is None or logins._is_open(session, WEBSOCKET)


websocket.check_session = check_session
