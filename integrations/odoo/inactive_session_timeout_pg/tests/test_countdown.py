import json
import time
from unittest.mock import patch
from urllib.parse import parse_qs, quote, urlsplit

from odoo.tests import new_test_user, tagged
from odoo.tests.common import get_db_name

from .browser import PATIENCE, Browser, CommittingHttpCase, committed

DELAY = "inactive_session_time_out_delay"
WARNING = "inactive_session_time_out_warning"
LOGIN = "countdown"
PASSWORD = "long enough 4 all"
PAGE = "/odoo/settings"
DIALOG = ".o_session_expiry"
# One that asks the server for its consequences when it is left, and for nothing before.
FIELD = ".o_form_view [name=phone] input"
SERVICES = "odoo.__WOWL_DEBUG__.root.env.services"


class CountdownCase(CommittingHttpCase):
    """A user who has logged in, and a server whose idea of the time left can be set."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with committed() as env:
            user = new_test_user(env, LOGIN, groups="base.group_system", password=PASSWORD, name="Ada Lovelace")
            cls.addClassCleanup(cls.delete_user, user.id)
            env.cr.execute(
                "SELECT key, value FROM session_timeout.config_parameter WHERE key IN %s", [(DELAY, WARNING)]
            )
            for key, value in env.cr.fetchall():
                cls.addClassCleanup(cls.execute, "SELECT session_timeout.set_param(%s, %s)", key, value)

    @classmethod
    def delete_user(cls, user_id):
        with committed() as env:
            env["res.users"].browse(user_id).unlink()

    @classmethod
    def execute(cls, statement, *values):
        with committed() as env:
            env.cr.execute(statement, values)
            return env.cr.fetchone() if env.cr.description else None

    def setUp(self):
        super().setUp()
        self.set_limits(delay=3600, warning=300)
        self.addCleanup(self.execute, "SELECT session_timeout.close_user_sessions(%s)", LOGIN)
        self.browser = Browser(self)
        self.addCleanup(self.browser.stop)

    # ---- What the tests do ----

    def set_limits(self, delay, warning):
        """In seconds, or as a text with a unit."""
        for key, value in ((DELAY, delay), (WARNING, warning)):
            self.execute("SELECT session_timeout.set_param(%s, %s)", key, str(value))

    def open_page(self, path=PAGE):
        tab = self.browser.open_tab()
        self.addCleanup(tab.close)
        tab.go(self.base_url() + path)
        return tab

    def log_in(self, path=PAGE):
        """A tab with the page at this path, after a login by the form."""
        tab = self.open_page(f"/web/login?redirect={quote(path)}")
        self.fill_in_login(tab)
        self.wait_for_page(tab, path)
        return tab

    def fill_in_login(self, tab):
        # Before that, the page swallows clicks, and keeps the next page from opening the database of translations.
        tab.wait_until(
            "(({ translatedTerms, translationLoaded }) => translatedTerms[translationLoaded])"
            "(odoo.loader.modules.get('@web/core/l10n/translation'))"
        )
        for name, value in (("login", LOGIN), ("password", PASSWORD)):
            tab.evaluate(f"document.querySelector('input[name={name}]').value = {json.dumps(value)}")
        tab.click(".oe_login_form button[type=submit]")

    def wait_for_page(self, tab, path=PAGE):
        tab.wait_until(f"location.pathname === {json.dumps(path)}")
        tab.wait_until("odoo.isReady && Boolean(document.querySelector('.o_action_manager .o_view_controller'))")

    def type(self, tab, text):
        """Into a field, as a keyboard does."""
        tab.wait_for(FIELD)
        tab.evaluate(f"document.activeElement.matches('{FIELD}') || document.querySelector('{FIELD}').focus()")
        for character in text:
            tab.call("Input.dispatchKeyEvent", type="keyDown", key=character, text=character)
            tab.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    def leave_idle(self, seconds):
        """As if the user had not done anything for a while: so many seconds are left."""
        self.execute(
            """
            UPDATE session_timeout.session
            SET last_activity = pg_catalog.now() - (session_timeout.get_param(%s)::int - %s) * '1 s'::interval
            WHERE user_name = %s
            """,
            DELAY,
            seconds,
            LOGIN,
        )

    def look(self, tab):
        """Lets a page ask now, not when a warning would have been due."""
        tab.evaluate(f"{SERVICES}.session_expiry.due()")

    def watch(self, tab):
        """Lets a page note its requests."""
        tab.evaluate(
            """(({ rpcBus }) => {
                window.requests = {};
                rpcBus.addEventListener("RPC:REQUEST", ({ detail }) => (window.requests[detail.data.id] = detail.url));
                rpcBus.addEventListener("RPC:RESPONSE", ({ detail }) => (window.requests[detail.data.id] += " answered"));
            })(odoo.loader.modules.get("@web/core/network/rpc"))"""
        )

    def wait_for_answer(self, tab, method):
        tab.wait_until(f"Object.values(window.requests).some((url) => url.endsWith('/{method} answered'))")

    def walk_away(self, tab, seconds=120):
        """As if nobody had touched the page for so long."""
        tab.evaluate(f"{SERVICES}.session_expiry.presence.inputAt -= {seconds * 1000}")

    def size(self, tab, width, height, mobile=False):
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def assert_nothing_is_cut_off(self, tab, within):
        cut_off = tab.evaluate(
            f"[...document.querySelectorAll('{within} *:not(.visually-hidden)')]"
            ".filter((element) => element.scrollWidth > element.clientWidth + 1"
            " && getComputedStyle(element).overflowX !== 'visible').map((element) => element.value || element.innerText)"
        )
        self.assertEqual(cut_off, [])

    def wait_for_quiet(self, tab):
        """Until a page that was loaded asks for nothing more, which would count."""
        tab.wait_until(
            """(async (count) => {
                const before = count();
                await new Promise((passed) => setTimeout(passed, 2000));
                return count() === before;
            })(() => performance.getEntriesByType("resource").length)"""
        )

    def seconds_left(self):
        row = self.execute(
            """
            SELECT extract(epoch FROM last_activity - pg_catalog.clock_timestamp())::float
                   + session_timeout.get_param(%s)::int
            FROM session_timeout.active_session WHERE user_name = %s
            """,
            DELAY,
            LOGIN,
        )
        return row and row[0]

    def assert_at_login(self, tab, path=PAGE):
        tab.wait_until("location.pathname === '/web/login'")
        tab.wait_for("input[name=login]")
        [way_back] = parse_qs(urlsplit(tab.evaluate("location.href")).query)["redirect"]
        self.assertEqual(way_back.rstrip("?"), path)  # where the server sends a page here, it adds one


@tagged("post_install", "-at_install")
class TestCountdown(CountdownCase):
    # ---- One tab ----

    def test_idle_page_counts_down_and_goes_to_the_login_with_the_way_back(self):
        """The whole story, in real time: nothing but the clock moves it on."""
        self.set_limits(delay=16, warning=8)
        tab = self.log_in()
        tab.wait_for(DIALOG)
        self.assert_at_login(tab)
        tab.wait_for(".o_session_ended")
        self.assertIsNone(self.seconds_left())
        self.fill_in_login(tab)
        self.wait_for_page(tab)

    def test_button_keeps_the_session(self):
        tab = self.log_in()
        self.leave_idle(200)
        self.look(tab)
        tab.click(f"{DIALOG}_stay")
        tab.wait_while(DIALOG)
        self.assertGreater(self.seconds_left(), 3000)

    def test_countdown_alone_does_not(self):
        tab = self.log_in()
        self.leave_idle(200)
        for _ in range(3):
            self.look(tab)
            tab.wait_for(DIALOG)
        self.assertLess(self.seconds_left(), 201)

    def test_list_of_sessions_shows_no_end_where_there_is_none(self):
        self.set_limits(delay=0, warning=300)
        tab = self.log_in("/odoo/sessions")
        tab.wait_for(".o_data_row [name=idle_for]")
        self.assertIsNone(tab.evaluate("document.querySelector('.o_data_row [name=expires_in]')?.innerText || null"))

    def test_log_out_now(self):
        tab = self.log_in()
        self.leave_idle(200)
        self.look(tab)
        tab.click(f"{DIALOG}_log_out")
        tab.wait_until("location.pathname === '/web/login'")
        self.assertIsNone(self.seconds_left())

    def test_request_in_an_ended_session_leads_to_the_login_without_a_dialog(self):
        tab = self.log_in()
        self.execute("SELECT session_timeout.close_user_sessions(%s)", LOGIN)
        tab.evaluate(
            """new MutationObserver(() => {
                const dialog = document.querySelector(".modal");
                dialog && sessionStorage.setItem("seen", dialog.innerText);
            }).observe(document.body, { childList: true, subtree: true })"""
        )
        tab.evaluate(f"{SERVICES}.orm.read('res.users', [1], ['name']).then(() => 0); 0")
        self.assert_at_login(tab)
        self.assertIsNone(tab.evaluate("sessionStorage.getItem('seen')"))

    def test_request_after_the_end_leads_to_the_login_where_no_database_is_known(self):
        """Several databases and no filter that tells them apart: without the session's file a request belongs to none."""
        databases = patch("odoo.http.db_list", return_value=[get_db_name(), "another"])
        self.addCleanup(databases.stop)
        databases.start()
        tab = self.open_page(f"/web/login?db={get_db_name()}&redirect={quote(PAGE)}")
        self.fill_in_login(tab)
        self.wait_for_page(tab)
        with committed() as env:
            logins = env["session.timeout.login"].search([("user_id.login", "=", LOGIN), ("ended_at", "=", False)])
            env["session.timeout.login"]._close(logins.mapped("identifier"))
        tab.evaluate(f"{SERVICES}.orm.read('res.users', [1], ['name']).then(() => 0); 0")
        self.assert_at_login(tab)

    def test_server_that_went_down_before_the_warning_is_said_to_be_unreachable_in_it(self):
        self.set_limits(delay=20, warning=10)
        tab = self.log_in()
        tab.call("Network.enable")
        offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        tab.call("Network.emulateNetworkConditions", offline=True, **offline)
        tab.wait_for(f"{DIALOG}_unreachable")
        tab.wait_until(f"document.querySelector('{DIALOG}_countdown').innerText.startsWith('0')")
        self.assertEqual(tab.evaluate("location.pathname"), PAGE)
        tab.call("Network.emulateNetworkConditions", offline=False, **offline)
        self.assert_at_login(tab)

    # ---- Somebody who types ----

    def test_countdown_waits_for_a_pause_in_typing(self):
        tab, _partner = self.edit_partner()
        self.leave_idle(200)
        self.watch(tab)
        # In the page, whose clock it is then that is slow on a busy machine.
        focus = tab.evaluate(
            """new Promise((finished) => {
                const field = document.activeElement;
                let keys = 0;
                const typing = setInterval(() => {
                    field.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
                    if (document.activeElement !== field || ++keys === 60) {
                        clearInterval(typing);
                        finished(document.activeElement === field ? "kept" : "lost");
                    }
                }, 100);
                %s.session_expiry.due();
            })"""
            % SERVICES
        )
        self.wait_for_answer(tab, "outlook")
        self.assertEqual(focus, "kept")
        tab.wait_for(DIALOG)

    # ---- Nobody there ----

    def test_what_the_countdown_itself_causes_keeps_no_session(self):
        tab, _partner = self.edit_partner()
        self.leave_idle(200)
        self.watch(tab)
        self.look(tab)
        tab.wait_for(DIALOG)
        self.wait_for_answer(tab, "onchange")  # as the dialog takes the focus
        self.assertLess(self.seconds_left(), 201)
        tab.click(f"{DIALOG}_stay")
        tab.wait_while(DIALOG)
        self.assertGreater(self.seconds_left(), 3000)

    def edit_partner(self):
        """A tab with a partner that has changes, made by somebody who has left."""
        with committed() as env:
            partner = env["res.partner"].create({"name": "Ada", "phone": "1"})
        self.addCleanup(self.execute, "DELETE FROM res_partner WHERE id = %s", partner.id)
        tab = self.log_in(f"/odoo/res.partner/{partner.id}")
        self.wait_for_quiet(tab)
        self.type(tab, "2")
        self.leave_idle(2000)
        return tab, partner

    def wait_for_save(self, tab, partner):
        deadline = time.monotonic() + PATIENCE
        while "2" not in self.execute("SELECT phone FROM res_partner WHERE id = %s", partner.id)[0]:
            self.assertLess(time.monotonic(), deadline, "not saved")
            time.sleep(0.05)

    def hide(self, tab):
        """As a screen that is locked does."""
        tab.evaluate(
            "Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' });"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )

    def test_save_of_a_page_that_is_hidden_later_keeps_no_session(self):
        tab, partner = self.edit_partner()
        self.walk_away(tab)
        self.hide(tab)
        self.wait_for_save(tab, partner)
        self.assertLess(self.seconds_left(), 2001)

    def test_save_of_a_page_that_its_user_hides_counts(self):
        tab, partner = self.edit_partner()
        self.hide(tab)
        self.wait_for_save(tab, partner)
        self.assertGreater(self.seconds_left(), 3000)

    def test_save_of_a_page_that_is_closed_later_keeps_no_session(self):
        tab, partner = self.edit_partner()
        self.walk_away(tab)
        tab.go("about:blank")
        self.wait_for_save(tab, partner)
        self.assertLess(self.seconds_left(), 2001)

    def test_save_of_a_page_that_its_user_closes_counts(self):
        tab, partner = self.edit_partner()
        tab.go("about:blank")
        self.wait_for_save(tab, partner)
        self.assertGreater(self.seconds_left(), 3000)

    def test_onchange_of_a_field_that_a_window_leaves_keeps_no_session(self):
        tab, _partner = self.edit_partner()
        self.walk_away(tab)
        self.watch(tab)
        tab.evaluate("document.activeElement.blur()")
        self.wait_for_answer(tab, "onchange")
        self.assertLess(self.seconds_left(), 2001)

    # ---- Two tabs ----

    def test_staying_in_one_tab_closes_the_countdown_in_the_other(self):
        first, second = self.log_in(), self.open_page()
        self.wait_for_page(second)
        self.leave_idle(200)
        self.look(first)
        for tab in (first, second):
            tab.wait_for(DIALOG)
        second.click(f"{DIALOG}_stay")
        for tab in (first, second):
            tab.wait_while(DIALOG)

    def test_work_in_one_tab_closes_the_countdown_in_the_other(self):
        first, second = self.log_in(), self.open_page()
        self.wait_for_page(second)
        self.leave_idle(200)
        self.look(first)
        for tab in (first, second):
            tab.wait_for(DIALOG)
        # Without somebody at it, a page under the countdown sends nothing that counts.
        second.evaluate("window.dispatchEvent(new Event('pointerdown'))")
        second.evaluate(f"{SERVICES}.orm.read('res.users', [1], ['name'])")
        for tab in (first, second):
            tab.wait_while(DIALOG)

    def test_new_tab_closes_the_countdown_in_the_other(self):
        first = self.log_in()
        self.leave_idle(200)
        self.look(first)
        first.wait_for(DIALOG)
        self.open_page()
        first.wait_while(DIALOG)

    def test_all_tabs_leave_together_and_come_back_together(self):
        first, second = self.log_in(), self.open_page()
        self.wait_for_page(second)
        first.evaluate("document.querySelector('.o_user_menu button').click()")
        first.click("[data-menu=logout]")
        first.wait_until("location.pathname === '/web/login'")
        self.assert_at_login(second)
        self.fill_in_login(first)
        self.wait_for_page(second)
