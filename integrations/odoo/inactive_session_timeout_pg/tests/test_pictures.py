import os
import pathlib
import unittest

from odoo.tests import tagged

from .test_countdown import DIALOG, CountdownCase

FOLDER = os.environ.get("SESSION_TIMEOUT_PICTURES")


@unittest.skipUnless(FOLDER, "SESSION_TIMEOUT_PICTURES names no folder")
@tagged("post_install", "-at_install")
class TestPictures(CountdownCase):
    """Takes the pictures for the documentation."""

    def take(self, tab, name, **clip):
        tab.wait_until("document.fonts.ready.then(() => true)")
        tab.picture(pathlib.Path(FOLDER) / f"odoo-{name}.png", clip)

    def open_countdown(self):
        tab = self.log_in()
        tab.call("Emulation.setDeviceMetricsOverride", width=1000, height=560, deviceScaleFactor=1, mobile=False)
        self.leave_idle(275)
        self.look(tab)
        tab.wait_until(f"document.querySelector('{DIALOG}_countdown')?.innerText === '4:32'")
        return tab

    def test_countdown(self):
        self.take(self.open_countdown(), "countdown")
