"""What the tests in a browser stand on."""

import contextlib
from unittest.mock import patch

from odoo import SUPERUSER_ID, api
from odoo.tests.common import HttpCase, Registry, get_db_name


@contextlib.contextmanager
def committed():
    """An environment whose transaction commits."""
    with Registry(get_db_name()).cursor() as cr:
        yield api.Environment(cr, SUPERUSER_ID, {})


class CommittingHttpCase(HttpCase):
    """Requests are served as in production. In Odoo's test mode they would share one transaction that never commits,
    and activity counts only when it does."""

    registry_test_mode = False

    @classmethod
    def setUpClass(cls):
        # Else HttpCase sets it in its own transaction, whose lock stops an administrator's login.
        with committed() as env:
            env["ir.config_parameter"].set_param("web.base.url", cls.base_url())
        super().setUpClass()
        # While tests run, the main thread holds this lock, which each request takes.
        cls.startClassPatcher(patch.object(Registry, "_lock", contextlib.nullcontext()))
