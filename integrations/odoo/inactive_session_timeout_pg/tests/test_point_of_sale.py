import time
import unittest

from odoo.tests import tagged

from .browser import PATIENCE, committed
from .test_countdown import DIALOG, LOGIN, CountdownCase

PRODUCT = "Coffee"
POS = "window.posmodel"
ORDER = f"{POS}.getOrder()"


@tagged("post_install", "-at_install")
class TestPointOfSale(CountdownCase):
    """A till, which is a page of its own. Where Point of Sale is not installed, there is none."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with committed() as env:
            if "pos.config" not in env:
                raise unittest.SkipTest("Point of Sale is not installed")
            env.user = env.ref("base.user_admin")
            env["account.chart.template"].try_loading("generic_coa", env.company, install_demo=False)
            journal, payment_methods = env["pos.config"]._create_journal_and_payment_methods()
            config = env["pos.config"].create(
                {"name": "Till", "journal_id": journal.id, "payment_method_ids": payment_methods}
            )
            env["product.template"].create(
                {"name": PRODUCT, "list_price": 3, "taxes_id": False, "available_in_pos": True}
            )
            user = env["res.users"].search([("login", "=", LOGIN)])
            user.group_ids += env.ref("point_of_sale.group_pos_manager")
            config.with_user(user).open_ui()
            config.current_session_id.set_opening_control(0, "")
            cls.page = f"/pos/ui/{config.id}"

    @classmethod
    def delete_user(cls, user_id):
        with committed() as env:  # a session of the till names it
            env["res.users"].browse(user_id).write({"active": False, "login": f"cashier {user_id}"})

    # ---- What the tests do ----

    def wait_for_page(self, tab, path=None):
        tab.wait_until(f"location.pathname.startsWith('{path or self.page}')")
        tab.wait_until(f"Boolean({POS}?.session && document.querySelector('.pos .pos-content > *'))")

    def open_till(self):
        tab = self.log_in(self.page)
        tab.evaluate(f"{POS}.setCashier({POS}.user); {POS}.navigate('ProductScreen', {{ orderUuid: {POS}.openOrder.uuid }})")
        tab.wait_for(".product-screen")
        tab.evaluate(
            f"{POS}.addLineToCurrentOrder({{ product_tmpl_id: {POS}.models['product.template']"
            f".find((product) => product.name === '{PRODUCT}') }}).then(() => 0)"
        )
        tab.wait_until(f"{ORDER}.lines.length === 1")
        self.wait_for_quiet(tab)
        return tab

    def start_payment(self, tab):
        self.watch(tab)
        tab.evaluate(f"{POS}.pay()")
        tab.click(".payment-screen .paymentmethod")
        tab.wait_until(f"{ORDER}.payment_ids.length === 1")
        self.press(tab, "5")
        self.wait_for_quiet(tab)

    def press(self, tab, key):
        tab.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        tab.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def assert_stays(self, tab, expression, seconds=4):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.assertTrue(tab.evaluate(expression), expression)
            time.sleep(0.2)

    def orders(self):
        with committed() as env:
            return [(order.state, order.amount_total) for order in env["pos.order"].search([("config_id", "=", int(self.page.split("/")[-1]))])]

    # ---- Tests ----

    def test_a_till_counts_down_and_keeps_its_order_over_the_login(self):
        tab = self.open_till()
        uuid = tab.evaluate(f"{ORDER}.uuid")
        self.leave_idle(200)
        self.look(tab)
        tab.wait_for(DIALOG)
        said = tab.evaluate(f"document.querySelector('{DIALOG}').innerText")
        self.assertIn("Orders are kept on this device.", said)
        self.assertNotIn("lost", said)
        tab.click(f"{DIALOG}_stay")
        tab.wait_while(DIALOG)
        self.assertGreater(self.seconds_left(), 3000)
        self.leave_idle(-1)
        self.look(tab)
        tab.wait_until("location.pathname === '/web/login'")
        tab.wait_for("input[name=login]")
        self.fill_in_login(tab)
        self.wait_for_page(tab)
        tab.wait_until(f"{POS}.models['pos.order'].getBy('uuid', '{uuid}')?.lines.length === 1")

    def test_log_out_of_a_till_leads_back_to_it(self):
        tab = self.open_till()
        self.leave_idle(200)
        self.look(tab)
        tab.click(f"{DIALOG}_log_out")
        tab.wait_until("location.pathname === '/web/login'")
        self.assertIsNone(self.seconds_left())
        tab.wait_for("input[name=login]")
        self.fill_in_login(tab)
        self.wait_for_page(tab)

    def test_no_warning_in_the_middle_of_a_payment(self):
        tab = self.open_till()
        self.start_payment(tab)
        self.leave_idle(200)
        self.look(tab)
        self.wait_for_answer(tab, "outlook")
        self.assert_stays(tab, f"!document.querySelector('{DIALOG}')")
        self.walk_away(tab, 600)  # and the customer, too
        tab.wait_for(DIALOG)

    def test_a_payment_outlasts_the_session_and_is_sent_after_the_next_login(self):
        tab = self.open_till()
        before = self.orders()
        self.start_payment(tab)
        self.leave_idle(-1)
        self.look(tab)
        tab.wait_until("document.querySelector('.o_notification')?.innerText.includes('Your session has ended')")
        tab.click(".payment-screen .validation-button.next.highlight")
        tab.wait_for(".receipt-screen")
        self.assertFalse(tab.evaluate("Boolean(document.querySelector('.modal'))"))
        self.assertEqual(self.orders(), before)
        self.walk_away(tab, 600)
        tab.wait_until("location.pathname === '/web/login'")
        tab.wait_for("input[name=login]")
        self.fill_in_login(tab)
        self.wait_for_page(tab)
        deadline = time.monotonic() + PATIENCE
        while ("paid", 3) not in self.orders():
            self.assertLess(time.monotonic(), deadline, self.orders())
            time.sleep(0.1)

    def test_a_till_without_a_server_is_left_alone(self):
        tab = self.open_till()
        self.leave_idle(200)
        self.look(tab)
        tab.wait_for(DIALOG)
        tab.call("Network.enable")
        tab.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        self.look(tab)
        tab.wait_while(DIALOG)
        tab.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        tab.wait_for(DIALOG)

    def test_what_another_till_causes_keeps_no_session(self):
        tab = self.open_till()
        self.leave_idle(200)
        self.watch(tab)
        for request in (f"{POS}.data.checkConnectivity()", f"{POS}.deviceSync.readDataFromServer()"):
            tab.evaluate(f"{request}.then(() => 0)")
        for method in ("ping", "read_config_open_orders"):
            self.wait_for_answer(tab, method)
        self.assertLess(self.seconds_left(), 201)
