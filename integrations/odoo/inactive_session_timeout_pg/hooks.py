from odoo import _
from odoo.exceptions import UserError

EXTENSION = "inactive_session_timeout"


def pre_init_hook(env):
    env.cr.execute("SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = %s", (EXTENSION,))
    if not env.cr.fetchone():
        raise UserError(_("missing"))
    env.cr.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}")


def post_init_hook(env):
    pass


def uninstall_hook(env):
    pass
