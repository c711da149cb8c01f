"""What the tests in a browser stand on: requests that commit, and a browser with any number of tabs."""

import base64
import contextlib
import itertools
import json
import os
import time
from unittest.mock import patch

from odoo import SUPERUSER_ID, api
from odoo.tests.common import ChromeBrowser, HttpCase, Registry, get_db_name, websocket

PATIENCE = int(os.environ.get("PATIENCE", "60"))  # seconds; a condition that holds is seen at once, so a long time costs nothing
SMALL = 150_000  # bytes of a picture


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


class Browser(ChromeBrowser):
    """Odoo's headless browser. Its tabs share cookies, storage and channels, as a visitor's do."""

    def open_tab(self):
        # In a window of its own, so that it is not hidden by the next: hidden tabs draw nothing.
        params = {"url": "about:blank", "newWindow": True}
        target = self._websocket_request("Target.createTarget", params=params)["targetId"]
        return Tab(f"ws://127.0.0.1:{self.devtools_port}/devtools/page/{target}")


class Tab:
    """A tab, spoken to over the DevTools protocol."""

    def __init__(self, url):
        self.ws = websocket.create_connection(url, suppress_origin=True, timeout=PATIENCE)
        self.ids = itertools.count(1)
        self.said = []  # on the console
        self.call("Page.enable")
        self.call("Runtime.enable")

    def call(self, method, **params):
        number = next(self.ids)
        self.ws.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.ws.recv())
            if message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.said.append(json.dumps(message["params"])[:1000])
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]

    def evaluate(self, expression):
        """The value of a JavaScript expression, awaited; None while the page is being replaced."""
        try:
            answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        except AssertionError:
            return None
        return answer["result"].get("value") if "exceptionDetails" not in answer else None

    def wait_until(self, expression):
        deadline = time.monotonic() + PATIENCE
        while not (value := self.evaluate(expression)):
            if time.monotonic() > deadline:
                page = self.evaluate("location.href + '\\n' + document.body.innerText")
                raise AssertionError("\n".join([f"not true in {PATIENCE} s: {expression}", str(page), *self.said[-20:]]))
            time.sleep(0.05)
        return value

    def wait_for(self, selector):
        return self.wait_until(f"Boolean(document.querySelector({json.dumps(selector)}))")

    def wait_while(self, selector):
        return self.wait_until(f"!document.querySelector({json.dumps(selector)})")

    def go(self, url):
        self.call("Page.navigate", url=url)

    def click(self, selector):
        self.wait_for(selector)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def picture(self, path, clip=None):
        params = {"clip": {**clip, "scale": 1}} if clip else {}
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", **params)["data"])
        if len(data) > SMALL:
            raise AssertionError(f"{path.name} has {len(data)} bytes")
        path.write_bytes(data)

    def close(self):
        with contextlib.suppress(Exception):
            self.call("Page.close")
        self.ws.close()
