from . import (
    ir_config_parameter,
    ir_http,
    ir_websocket,
    res_config_settings,
    res_device,
    res_users,
    session_timeout_login,
    session_timeout_session,
)
