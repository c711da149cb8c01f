from odoo.tests import no_retry, tagged

from .browser import CommittingHttpCase

SUITE = "@inactive_session_timeout_pg"


def hoot_id(name):
    """What Hoot calls a suite or a test in its URL."""
    number = 0
    for character in name:
        number = (31 * number + ord(character)) & 0xFFFFFFFF
    return f"{number:08x}"


@tagged("post_install", "-at_install")
class TestHoot(CommittingHttpCase):
    """Runs static/tests in a browser, with the web client's own test framework."""

    @no_retry
    def test_unit_tests_of_the_web_client(self):
        self.browser_js(
            f"/web/tests?headless&loglevel=2&preset=desktop&timeout=15000&id={hoot_id(SUITE)}",
            "",
            "",
            login="admin",
            timeout=100,
            success_signal="[HOOT] Test suite succeeded",
            error_checker=lambda message: "[HOOT]" not in message,
        )
