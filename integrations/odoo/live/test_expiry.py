"""What a session that has been idle too long meets: on a page, on JSON-RPC, on a websocket."""

import re

from harness import ADDON, PASSWORD, Browser, LiveCase, api_key, eventually, in_parallel, receive, requests, subscribe

SESSION_EXPIRED = 4001  # the code with which Odoo closes a websocket then


class Expiry(LiveCase):
    def test_a_page_leads_to_the_login_and_back(self):
        anna = Browser(self.odoo, "anna")
        sid, file = anna.sid, anna.file()
        self.database.idle(7300)
        answer = anna.page("/odoo/apps?x=1")
        self.assertEqual(answer.status_code, 303)
        self.assertEqual(answer.headers["Location"], "/web/login?redirect=%2Fodoo%2Fapps%3Fx%3D1")
        self.assertNotEqual(anna.sid, sid)
        self.assertFalse(file.exists())
        login = anna.page(answer.headers["Location"])
        self.assertEqual(login.status_code, 200)
        self.assertIn('name="password"', login.text)

    def test_json_rpc_is_refused_and_does_nothing(self):
        anna = Browser(self.odoo, "anna")
        partner = anna.kw("res.users", "read", [anna.content()["uid"]], ["partner_id"])["result"][0]["partner_id"][0]
        self.database.idle(7300)
        self.assert_expired(anna.kw("res.partner", "write", [partner], {"name": "changed"}))
        self.assertEqual(self.database.value("SELECT name FROM res_partner WHERE id = %s", partner), "anna")
        self.assertEqual(anna.files(), [])

    def test_expiry_is_final(self):
        anna, late = Browser(self.odoo, "anna"), Browser(self.odoo)
        late.http.cookies.set("session_id", anna.sid, domain="127.0.0.1")
        file, content = anna.file(), anna.file().read_text()
        self.database.idle(7300)
        self.assert_expired(anna.call("/web/session/check"))
        self.database.set_param("delay", "1 year")
        file.write_text(content)  # as a parallel request that was under way may do
        self.assert_expired(late.call("/web/session/check"))
        self.assertEqual(anna.files(), [])

    def test_the_expired_session_has_its_event(self):
        anna = Browser(self.odoo, "anna")
        identifier = anna.identifier
        self.database.idle(7300)
        anna.page()
        self.assertEqual(eventually(lambda: self.database.events(identifier)), ["idle_expired"])

    def test_a_websocket_is_closed_at_its_next_message(self):
        anna = Browser(self.odoo, "anna")
        connection = anna.websocket()
        self.database.idle(7300)
        subscribe(connection)
        self.assertEqual(receive(connection), SESSION_EXPIRED)
        self.assertEqual(anna.files(), [])

    def test_nothing_is_sent_to_an_expired_websocket(self):
        anna = Browser(self.odoo, "anna")
        connection = anna.websocket()
        self.database.idle(7300)
        self.database.push("secret")
        while isinstance(answer := receive(connection), str):
            self.assertNotIn("secret", answer)
        self.assertEqual(answer, SESSION_EXPIRED)
        self.assertEqual(anna.files(), [])

    def test_an_open_websocket_keeps_no_session_alive_whatever_is_ignored(self):
        self.database.set_param("ignored_url", "/calendar/notify,/longpolling/poll")
        anna = Browser(self.odoo, "anna")
        before = self.database.last_activity(anna.identifier)
        connection = anna.websocket()
        subscribe(connection)
        self.database.push("second")
        while "second" not in receive(connection):
            pass
        self.assertEqual(self.database.last_activity(anna.identifier), before)

    def test_an_expired_websocket_is_closed_whatever_is_ignored(self):
        for ignored in ("/calendar/notify", "*"):
            self.database.set_param("ignored_url", ignored)
            anna = Browser(self.odoo, "anna")
            connection = anna.websocket()
            self.database.idle(7300)
            self.database.push("secret")
            while isinstance(answer := receive(connection), str):
                self.assertNotIn("secret", answer)
            self.assertEqual(answer, SESSION_EXPIRED)
            self.assertEqual(anna.files(), [])
            self.assertEqual(eventually(lambda anna=anna: self.database.events(anna.identifier)), ["idle_expired"])

    def test_polling_alone_expires(self):
        anna = Browser(self.odoo, "anna")
        self.database.set_param("delay", "2")
        self.database.set_param("purge_interval", "1")
        self.database.set_param("ignored_url", "/web/session/check")
        self.assertTrue(anna.is_logged_in())
        eventually(lambda: not anna.is_logged_in(), 15)
        self.assertEqual(self.database.events(anna.identifier), ["idle_expired"])

    # What Odoo's web client sends by itself: connected anew, after a lost connection, and on a message of somebody else.
    UNATTENDED = {
        "/bus/has_missed_notifications": {"last_notification_id": 1},
        "/web/webclient/version_info": {},
        "/web/dataset/call_kw/discuss.channel/channel_fetched": {
            "model": "discuss.channel", "method": "channel_fetched", "args": [[]], "kwargs": {},
        },
        "/discuss/channel/mark_as_read": {"channel_id": 0, "last_message_id": 0},
        "/mail/data": {"fetch_params": []},
    }

    def test_what_the_web_client_asks_for_unattended_keeps_nothing_alive(self):
        for path, params in self.UNATTENDED.items():
            with self.subTest(path):
                anna = Browser(self.odoo, "anna")
                before = self.database.last_activity(anna.identifier)
                self.assertNotEqual(anna.call(path, **params).get("error", {}).get("code"), 100)
                self.assertEqual(self.database.last_activity(anna.identifier), before)
                self.database.idle(7300)
                self.assert_expired(anna.call(path, **params))
                self.assertEqual(anna.files(), [])

    def test_asking_how_long_is_left_keeps_nothing_alive(self):
        anna = Browser(self.odoo, "anna")
        self.database.set_param("delay", "2")
        self.assertTrue(anna.outlook()["valid"])
        eventually(lambda: not anna.outlook()["valid"], 10)
        self.assert_expired(anna.call("/web/session/check"))

    def test_the_outlook_warns_before_the_end(self):
        anna = Browser(self.odoo, "anna")
        self.assertFalse(anna.outlook()["warn"])
        self.database.idle(7000)
        outlook = anna.outlook()
        self.assertTrue(outlook["warn"])
        self.assertAlmostEqual(outlook["expires_in"], 200, delta=5)

    def test_staying_counts_as_activity_whatever_is_ignored(self):
        anna = Browser(self.odoo, "anna")
        self.database.set_param("ignored_url", "*")
        self.database.idle(7000)
        answer = anna.call("/inactive_session_timeout_pg/stay")["result"]
        self.assertTrue(answer["valid"])
        self.assertAlmostEqual(answer["expires_in"], 7200, delta=5)
        self.assertAlmostEqual(anna.outlook()["expires_in"], 7200, delta=5)

    def test_an_expired_session_cannot_stay(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        self.assert_expired(anna.call("/inactive_session_timeout_pg/stay"))

    def test_the_outlook_of_nobody_is_an_answer(self):
        self.assertEqual(Browser(self.odoo).outlook(), {"valid": False, "expires_in": None, "warn": False})

    def test_the_page_tells_the_client_what_is_left(self):
        anna = Browser(self.odoo, "anna")
        info = anna.call("/web/session/get_session_info")["result"]["inactive_session_timeout"]
        self.assertTrue(info["enabled"])
        self.assertEqual(info["warning"], 300)
        self.assertAlmostEqual(info["expires_in"], 7200, delta=5)

    def test_logging_in_again_while_expired_works(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        anna.log_in("anna")
        self.assertTrue(anna.is_logged_in())

    def test_all_answers_that_end_a_session_give_the_same_cookie(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        ask = {"json": {"jsonrpc": "2.0", "params": {}}}
        requested = [
            ("GET", "/odoo", {}), ("GET", "/web/login?redirect=/odoo", {}), ("GET", "/no-such-page", {}),
            ("POST", "/web/session/check", ask), ("POST", f"/{ADDON}/outlook", ask), ("POST", f"/{ADDON}/stay", ask),
        ]

        def send(index):
            method, path, options = requested[index]
            return requests.request(
                method, self.odoo.url + path, cookies={"session_id": anna.sid}, allow_redirects=False, timeout=60, **options
            ).cookies.get("session_id")

        # None: another answer came first
        self.assertEqual(len(set(in_parallel(len(requested), send)) - {None, anna.sid}), 1)

    def test_asking_how_long_is_left_logs_the_browser_out_of_an_ended_session(self):
        anna = Browser(self.odoo, "anna")
        sid = anna.sid
        self.database.idle(7300)
        anna.outlook()
        self.assertNotEqual(anna.sid, sid)
        self.assertEqual((anna.content()["db"], anna.content()["uid"]), (self.database.name, None))
        sid = anna.sid
        anna.page("/web/login?redirect=/odoo")
        self.assertEqual(anna.sid, sid)

    def test_the_form_of_a_login_page_that_is_opened_while_expired_is_good(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        page = anna.page("/web/login")
        anna.page("/web/binary/company_logo")  # as that page does
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
        data = {"login": "anna", "password": PASSWORD, "csrf_token": token}
        answer = anna.http.post(f"{self.odoo.url}/web/login", data=data, allow_redirects=False, timeout=60)
        self.assertEqual(answer.status_code, 303)
        self.assertTrue(anna.is_logged_in())

    def test_logging_out_while_expired_works(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        answer = anna.page("/web/session/logout")
        self.assertEqual(answer.headers["Location"], "/odoo")

    def test_a_path_without_a_route_is_refused_too(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        answer = anna.page("/no-such-page")
        self.assertEqual((answer.status_code, answer.headers["Location"][:10]), (303, "/web/login"))

    def test_public_requests_are_left_alone(self):
        checks = self.database.value("SELECT checks FROM session_timeout.stat_session_timeout")
        nobody = Browser(self.odoo)
        self.assertEqual(nobody.page("/web/login").status_code, 200)
        self.assertEqual(nobody.page("/web/webclient/translations").status_code, 200)
        self.assertEqual(self.database.value("SELECT checks FROM session_timeout.stat_session_timeout"), checks)

    def test_a_request_with_a_key_is_left_alone(self):
        sessions = self.database.value("SELECT count(*) FROM session_timeout_login")
        answer = requests.post(
            f"{self.odoo.url}/json/2/res.users/context_get", json={}, timeout=30,
            headers={"Authorization": f"bearer {api_key()}"},
        )
        self.assertEqual(answer.status_code, 200, answer.text)
        self.assertEqual(self.database.value("SELECT count(*) FROM session_timeout_login"), sessions)

    def test_a_key_that_nobody_looks_at_lets_no_expired_session_in(self):
        for header in ("bearer made-up", "basic made-up"):
            anna = Browser(self.odoo, "anna")
            anna.http.headers["Authorization"] = header
            self.database.idle(7300)
            self.assert_expired(anna.call("/web/session/check"))

    def test_a_route_that_takes_a_key_checks_a_session_that_has_none(self):
        anna = Browser(self.odoo, "anna")
        anna.http.headers.update({
            "Authorization": "basic made-up", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": "none", "Sec-Fetch-User": "?1",
        })
        read = "/json/1/partners"
        self.assertEqual(anna.page(read).status_code, 404)  # let in: the controller finds no such action
        self.database.idle(7300)
        self.assertEqual(anna.page(read).headers["Location"][:10], "/web/login")

    def test_a_client_that_logs_in_again_with_its_old_cookie_gets_in(self):
        anna = Browser(self.odoo, "anna")
        self.database.idle(7300)
        answer = anna.call("/web/session/authenticate", db=self.database.name, login="anna", password=PASSWORD)
        self.assertIn("uid", answer.get("result", {}), answer)
        self.assertTrue(anna.is_logged_in())
