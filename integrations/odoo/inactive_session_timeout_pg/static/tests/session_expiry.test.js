import { OUTLOOK_ROUTE, STAY_ROUTE } from "@inactive_session_timeout_pg/session_expiry/session_expiry";
import { CHANNEL } from "@inactive_session_timeout_pg/tabs";

import { after, beforeEach, describe, expect, mockLocation, test } from "@odoo/hoot";
import {
    advanceTime,
    animationFrame,
    click,
    freezeTime,
    press,
    queryOne,
    waitFor,
    waitForNone,
} from "@odoo/hoot-dom";
import {
    getService,
    makeMockEnv,
    makeServerError,
    mountWithCleanup,
    onRpc,
    patchWithCleanup,
} from "@web/../tests/web_test_helpers";
import { browser } from "@web/core/browser/browser";
import { MainComponentsContainer } from "@web/core/main_components_container";
import { rpc, rpcBus } from "@web/core/network/rpc";
import { session } from "@web/session";

describe.current.tags("headless");

const DELAY = 7200;
const WARNING = 300;
const DIALOG = ".modal .o_session_expiry";

/** What the extension would answer. */
let server;
/** The other tabs of the browser: hears what this one tells, and can tell. */
let others;

/** Whether another tab is asking at this moment. */
let otherAsks;

class Server {
    asked = [];
    reachable = true;
    delay = DELAY;
    endsAt = Infinity; // of the absolute delay
    constructor() {
        this.activity();
    }
    activity() {
        this.activityAt = Date.now();
    }
    outlook() {
        const expires_in = (Math.min(this.activityAt + this.delay * 1000, this.endsAt) - Date.now()) / 1000;
        return expires_in < 0
            ? { valid: false, expires_in: null, warn: false }
            : { valid: true, expires_in, warn: expires_in <= WARNING };
    }
    /** The answer to a request of ours; each is kept under its last name. */
    answer(route, request) {
        this.asked.push(route.split("/").pop());
        this.database = request.headers.get("X-Odoo-Database");
        if (!this.reachable) {
            return new Response("", { status: 502 });
        }
        if (route === STAY_ROUTE && this.outlook().valid) {
            this.activity();
        }
        return this.outlook();
    }
    takeAsked() {
        return this.asked.splice(0);
    }
}

class OtherTabs {
    heard = [];
    constructor() {
        const others = this;
        this.Channel = class {
            constructor(name) {
                if (name === CHANNEL) {
                    others.channel = this;
                }
            }
            addEventListener(type, listener) {
                this.listener = listener;
            }
            postMessage({ at, ...message }) {
                if (this === others.channel) {
                    others.heard.push(message);
                }
            }
            close() {
                this.listener = () => {};
            }
        };
    }
    tell(message) {
        this.channel.listener({ data: { at: Date.now(), ...message } });
    }
    take(type) {
        const taken = this.heard.filter((message) => message.type === type);
        this.heard = this.heard.filter((message) => message.type !== type);
        return taken;
    }
}

beforeEach(() => {
    freezeTime();
    server = new Server();
    others = new OtherTabs();
    otherAsks = false;
    const locks = { request: async (name, options, callback) => callback(otherAsks ? null : {}) };
    patchWithCleanup(browser, {
        BroadcastChannel: others.Channel,
        navigator: new Proxy(browser.navigator, {
            get: (target, key) => (key === "locks" ? locks : target[key]),
        }),
        performance: { now: () => 0 },
    });
    patchWithCleanup(document, { hasFocus: () => true });
    onRpc(OUTLOOK_ROUTE, (request) => server.answer(OUTLOOK_ROUTE, request));
    onRpc(STAY_ROUTE, (request) => server.answer(STAY_ROUTE, request));
    mockLocation.href = `${mockLocation.origin}/odoo/action-7/3?debug=1#notes`;
});

async function loadPage({ expires_in = DELAY, warning = WARNING } = {}) {
    patchWithCleanup(session, {
        inactive_session_timeout: { expires_in, warning, enabled: expires_in !== null },
    });
    await mountWithCleanup(MainComponentsContainer);
    after(() => getService("session_expiry")?.stop());
}

/** Lets time pass, and what it has caused happen. */
async function pass(seconds) {
    await advanceTime(seconds * 1000);
    await animationFrame();
    await animationFrame();
}

async function beWarned() {
    await loadPage();
    await pass(DELAY - WARNING);
    await waitFor(DIALOG);
    expect(server.takeAsked()).toEqual(["outlook"]);
}

/** Somebody presses a key in the page. */
const touch = () => browser.dispatchEvent(new KeyboardEvent("keydown", { key: "a" }));
const countdown = () => queryOne(`${DIALOG}_countdown`).textContent;
const atLogin = () => mockLocation.pathname === "/web/login";

test("a warning comes when the server says so, after one question", async () => {
    await loadPage();
    await pass(DELAY - WARNING - 1);
    expect(DIALOG).toHaveCount(0);
    expect(server.takeAsked()).toEqual([]);
    await pass(1);
    expect(DIALOG).toHaveCount(1);
    expect(countdown()).toBe("5:00");
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("activity puts the warning off, and costs a question when the warning would have been due", async () => {
    await loadPage();
    await pass(5000);
    server.activity();
    await pass(DELAY - WARNING - 5000);
    expect(DIALOG).toHaveCount(0);
    expect(server.takeAsked()).toEqual(["outlook"]);
    await pass(4999);
    expect(server.takeAsked()).toEqual([]);
    await pass(1);
    expect(DIALOG).toHaveCount(1);
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("the countdown runs by the second, and asks nothing meanwhile", async () => {
    await beWarned();
    await pass(1);
    expect(countdown()).toBe("4:59");
    expect(`${DIALOG}_unit`).toHaveText("min");
    await pass(289);
    expect(countdown()).toBe("10");
    expect(`${DIALOG}_unit`).toHaveText("s");
    expect(server.takeAsked()).toEqual([]);
});

test("a screen reader hears the minutes, half a minute and ten seconds, politely", async () => {
    await beWarned();
    const said = queryOne(`${DIALOG} [role=status]`);
    expect(said).toHaveAttribute("aria-live", "polite");
    expect(`${DIALOG}_countdown`).toHaveAttribute("aria-live", "off");
    const heard = [said.textContent];
    for (let left = WARNING; left > 10; left -= 10) {
        await advanceTime(10_000);
        await animationFrame();
        if (said.textContent !== heard.at(-1)) {
            heard.push(said.textContent);
        }
    }
    expect(heard).toEqual([
        "You will be logged out in 5 minutes.",
        "You will be logged out in 4 minutes.",
        "You will be logged out in 3 minutes.",
        "You will be logged out in 2 minutes.",
        "You will be logged out in 1 minute.",
        "You will be logged out in 30 seconds.",
        "You will be logged out in 10 seconds.",
    ]);
});

test("the focus is on the button to stay, and that keeps the session", async () => {
    await beWarned();
    expect(`${DIALOG}_stay`).toBeFocused();
    await press("Enter");
    await animationFrame();
    await waitForNone(DIALOG);
    expect(server.takeAsked()).toEqual(["stay"]);
    expect(server.outlook().expires_in).toBe(DELAY);
    await pass(DELAY - WARNING - 1);
    expect(server.takeAsked()).toEqual([]);
    await pass(1);
    expect(DIALOG).toHaveCount(1);
});

test("what it asks names the database, as a session whose file is gone has none", async () => {
    await beWarned();
    expect(server.database).toBe(session.db);
    server.database = null;
    await click(`${DIALOG}_stay`);
    await pass(0);
    expect(server.database).toBe(session.db);
});

test("a login to another database in this browser loads that one's page", async () => {
    patchWithCleanup(browser.location, { reload: () => expect.step("reload") });
    await loadPage();
    onRpc(OUTLOOK_ROUTE, () => {
        const text = "Cannot use both the session_id cookie and the x-odoo-database header.";
        return new Response(text, { status: 403 });
    });
    await pass(DELAY - WARNING);
    expect.verifySteps(["reload"]);
    await pass(60);
    expect.verifySteps([]);
    expect(atLogin()).toBe(false);
});

test("Escape is a sign of life too", async () => {
    await beWarned();
    await press("Escape");
    await animationFrame();
    await waitForNone(DIALOG);
    expect(server.takeAsked()).toEqual(["stay"]);
});

test("asking how long is left keeps no session alive: when time is up the page goes to the login", async () => {
    await beWarned();
    await pass(WARNING);
    expect(atLogin()).toBe(false);
    await pass(1);
    expect(server.takeAsked()).toEqual(["outlook"]);
    expect(atLogin()).toBe(true);
    const search = new URLSearchParams(mockLocation.search);
    expect(search.get("redirect")).toBe("/odoo/action-7/3?debug=1#notes");
    expect(search.get("db")).toBe(session.db);
    expect(others.take("over")).toHaveLength(1);
});

test("when time is up the server has the last word", async () => {
    await beWarned();
    await pass(299);
    server.activity(); // somewhere that this page does not see
    await pass(2);
    expect(atLogin()).toBe(false);
    expect(DIALOG).toHaveCount(0);
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("a request of somebody in this tab closes the warning", async () => {
    await beWarned();
    onRpc("/some/work", (request) => {
        expect(request.headers.get("X-Session-Timeout-Background")).toBe(null);
        server.activity();
        return true;
    });
    await pass(1);
    touch();
    await rpc("/some/work");
    await pass(2);
    expect(DIALOG).toHaveCount(0);
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("a request that the warning causes is marked, and asks nothing", async () => {
    await beWarned();
    const settings = { headers: { "X-Other": "1" } };
    onRpc("/some/onchange", ({ headers }) => {
        expect([headers.get("X-Session-Timeout-Background"), headers.get("X-Other")]).toEqual(["1", "1"]);
        return true;
    });
    await rpc("/some/onchange", {}, settings);
    expect(settings.headers["X-Session-Timeout-Background"]).toBe(undefined);
    const elsewhere = { data: { id: -1 }, url: "https://printer.example/hw_proxy/hello", settings: {} };
    rpcBus.trigger("RPC:REQUEST", elsewhere);
    expect(elsewhere.settings.headers).toBe(undefined);
    await pass(5);
    expect(DIALOG).toHaveCount(1);
    expect(server.takeAsked()).toEqual([]);
});

test("a request is marked where a field or the page is left long after anybody was there, and for a while", async () => {
    await loadPage();
    const marked = [];
    onRpc("/some/save", ({ headers }) => {
        marked.push(headers.has("X-Session-Timeout-Background"));
        return true;
    });
    const leave = async (type) => {
        browser.dispatchEvent(new Event(type));
        await rpc("/some/save");
    };
    await pass(59);
    await leave("blur");
    expect(marked.splice(0)).toEqual([false]);
    await pass(2);
    await leave("visibilitychange");
    await pass(4);
    await rpc("/some/save");
    await pass(2);
    await rpc("/some/save");
    expect(marked.splice(0)).toEqual([true, true, false]);
    touch();
    await leave("pagehide");
    expect(marked).toEqual([false]);
});

test("what is saved while an abandoned page is closed is marked", async () => {
    await loadPage();
    patchWithCleanup(browser, {
        fetch: async (url, { body, headers, keepalive }) => {
            expect.step([url, await body.text(), Object.keys(headers), keepalive]);
        },
    });
    await pass(61);
    browser.dispatchEvent(new Event("beforeunload"));
    expect(navigator.sendBeacon("/some/save", new Blob(["changes"]))).toBe(true);
    await pass(0);
    expect.verifySteps([["/some/save", "changes", ["X-Session-Timeout-Background"], true]]);
});

test("a warning waits for a pause in typing", async () => {
    await loadPage();
    await pass(DELAY - WARNING - 1);
    for (let i = 0; i < 10; i++) {
        touch();
        await pass(1);
        expect(DIALOG).toHaveCount(0);
    }
    await pass(1);
    expect(DIALOG).toHaveCount(1);
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("a warning does not wait for long", async () => {
    await loadPage();
    await pass(DELAY - WARNING - 1);
    for (let i = 0; i < 31; i++) {
        touch();
        await pass(1);
    }
    expect(DIALOG).toHaveCount(1);
});

test("a short warning does not wait for longer than half of it", async () => {
    server.delay = 40;
    await loadPage({ expires_in: 40, warning: 10 });
    await pass(29);
    for (let i = 0; i < 6; i++) {
        touch();
        await pass(1);
    }
    expect(DIALOG).toHaveCount(1);
    expect(countdown()).toBe("5");
});

test("work while a warning waits puts it off", async () => {
    await loadPage();
    onRpc("/some/work", () => {
        server.activity();
        return true;
    });
    await pass(DELAY - WARNING - 1);
    touch();
    await pass(1);
    await rpc("/some/work");
    await pass(3);
    expect(DIALOG).toHaveCount(0);
});

test("a short warning looks urgent in its last third only", async () => {
    server.delay = 40;
    await loadPage({ expires_in: 40, warning: 20 });
    await pass(20);
    expect(".o_session_expiry .progress-bar").toHaveClass("bg-primary");
    await pass(13);
    expect(".o_session_expiry .progress-bar").toHaveClass("bg-primary");
    await pass(1);
    expect(".o_session_expiry .progress-bar").toHaveClass("bg-danger");
});

test("polling does not close it, and makes no flood of questions", async () => {
    await beWarned();
    onRpc("/some/poll", () => true);
    await pass(1);
    touch();
    for (let i = 0; i < 50; i++) {
        await rpc("/some/poll");
        await advanceTime(100);
    }
    await animationFrame();
    expect(DIALOG).toHaveCount(1);
    expect(server.takeAsked().length).toBeLessThan(4);
});

test("an answer that is older than a request of this tab shows no warning", async () => {
    await loadPage();
    onRpc("/some/work", () => {
        server.activity();
        return true;
    });
    const stale = { valid: true, expires_in: WARNING, warn: true };
    onRpc(OUTLOOK_ROUTE, async () => {
        server.asked.push("outlook");
        if (server.asked.length === 1) {
            await advanceTime(500);
            await rpc("/some/work");
            return stale;
        }
        return server.outlook();
    });
    await pass(DELAY - WARNING);
    await pass(1);
    expect(DIALOG).toHaveCount(0);
    expect(server.takeAsked()).toEqual(["outlook", "outlook"]);
});

test("what another tab learns counts here: it is warned, stays, or is over, without a question", async () => {
    await loadPage();
    await pass(1000);
    const deadline = Date.now() + 200_000;
    others.tell({ type: "outlook", askedAt: Date.now(), deadline, warn: true, final: false });
    await pass(1);
    expect(DIALOG).toHaveCount(1);
    expect(countdown()).toBe("3:19");
    others.tell({ type: "outlook", askedAt: Date.now(), deadline: Date.now() + DELAY * 1000, warn: false });
    await pass(0);
    expect(DIALOG).toHaveCount(0);
    others.tell({ type: "over", askedAt: Date.now() });
    expect(atLogin()).toBe(true);
    expect(server.takeAsked()).toEqual([]);
});

test("this tab tells the others what it asks and learns", async () => {
    await loadPage();
    expect(others.take("activity")).toEqual([{ type: "activity", db: session.db }]);
    await pass(DELAY - WARNING);
    expect(others.take("asking")).toHaveLength(1);
    const [{ deadline, warn }] = others.take("outlook");
    expect({ deadline, warn }).toEqual({ deadline: server.activityAt + DELAY * 1000, warn: true });
    await click(`${DIALOG}_stay`);
    await pass(0);
    const [after] = others.take("outlook");
    expect(after.warn).toBe(false);
    expect(after.deadline).toBe(server.activityAt + DELAY * 1000);
});

test("while another tab asks this one waits, and asks itself where no answer comes", async () => {
    await loadPage();
    await pass(DELAY - WARNING - 1);
    others.tell({ type: "asking" });
    await pass(5);
    expect(server.takeAsked()).toEqual([]);
    await pass(6);
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("of tabs that would ask at the same moment one does", async () => {
    await loadPage();
    otherAsks = true;
    await pass(DELAY - WARNING + 1);
    expect(server.takeAsked()).toEqual([]);
    otherAsks = false; // and its answer never came
    await pass(10);
    expect(server.takeAsked()).toEqual(["outlook"]);
    expect(DIALOG).toHaveCount(1);
});

test("a tab that is not in use lets the others go first", async () => {
    patchWithCleanup(document, { hasFocus: () => false });
    await loadPage();
    await advanceTime((DELAY - WARNING) * 1000 + 50);
    expect(server.takeAsked()).toEqual([]);
    await pass(4);
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("a page that is loaded in another tab closes the warning here", async () => {
    await beWarned();
    server.activity();
    others.tell({ type: "activity" });
    await pass(0);
    expect(DIALOG).toHaveCount(0);
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("a login page in another tab makes this one ask", async () => {
    await loadPage();
    others.tell({ type: "login" });
    await pass(0);
    expect(server.takeAsked()).toEqual(["outlook"]);
    expect(atLogin()).toBe(false);
    server.delay = -1; // logged out
    others.tell({ type: "login" });
    await pass(0);
    expect(atLogin()).toBe(true);
});

test("what a frozen tab hears too late does not count", async () => {
    await loadPage();
    await pass(60);
    others.tell({ type: "over", askedAt: Date.now() - 30_000, at: Date.now() - 30_000 });
    expect(atLogin()).toBe(false);
});

test("an unreachable server logs nobody out; the warning says so, and attempts go on", async () => {
    await beWarned();
    server.reachable = false;
    await pass(301);
    expect(atLogin()).toBe(false);
    expect(countdown()).toBe("0");
    expect(`${DIALOG}_unreachable`).toHaveCount(1);
    const first = server.takeAsked().length;
    expect(first).toBeGreaterThan(0);
    for (let i = 0; i < 30; i++) {
        await pass(10);
    }
    expect(atLogin()).toBe(false);
    const more = server.takeAsked().length;
    expect(more).toBeGreaterThan(5);
    expect(more).toBeLessThan(20); // rarer with time
    server.reachable = true;
    await pass(31);
    expect(atLogin()).toBe(true);
});

test("a server that went down before the warning was due is said to be unreachable in it", async () => {
    await loadPage();
    server.reachable = false;
    await pass(DELAY - WARNING);
    expect(`${DIALOG}_unreachable`).toHaveCount(1);
    expect(countdown()).toBe("5:00");
    server.activity(); // somewhere that this page does not see
    server.reachable = true;
    await pass(1);
    await pass(0);
    expect(DIALOG).toHaveCount(0);
});

test("an unreachable server shows no warning to who has worked in this tab since", async () => {
    await loadPage();
    onRpc("/some/work", () => {
        server.activity();
        return true;
    });
    await pass(2000);
    await rpc("/some/work");
    server.reachable = false;
    await pass(DELAY - WARNING - 2000);
    for (let i = 0; i < 99; i++) {
        await pass(20);
    }
    expect(server.takeAsked().length).toBeGreaterThan(2);
    expect(DIALOG).toHaveCount(0);
    await pass(20);
    await pass(0);
    expect(DIALOG).toHaveCount(1);
    expect(countdown()).toBe("5:00");
});

test("a request whose answer is none asks whether the session is over", async () => {
    expect.errors(1);
    await loadPage();
    onRpc("/some/work", () => new Response("<h1>Not Found</h1>", { status: 404 })); // no database is known
    await pass(100);
    rpc("/some/work");
    await pass(1);
    await pass(1);
    expect(server.takeAsked()).toEqual(["outlook"]);
    expect(atLogin()).toBe(false);
    server.delay = -1; // logged out elsewhere
    await pass(100);
    rpc("/some/work").catch(() => {});
    await pass(1);
    await pass(1);
    expect(atLogin()).toBe(true);
    expect.verifyErrors([/couldn't be established/]);
});

test("the wish to stay is passed on as soon as the server can be reached", async () => {
    await beWarned();
    server.reachable = false;
    await click(`${DIALOG}_stay`);
    await pass(0);
    expect(DIALOG).toHaveCount(1);
    expect(`${DIALOG}_unreachable`).toHaveCount(1);
    server.reachable = true;
    await pass(2);
    expect(DIALOG).toHaveCount(0);
    expect(server.outlook().expires_in).toBeGreaterThan(DELAY - 5);
});

test("a server that does not answer counts as unreachable", async () => {
    await beWarned();
    onRpc(OUTLOOK_ROUTE, () => new Promise(() => {}));
    await pass(WARNING + 10);
    expect(`${DIALOG}_unreachable`).toHaveCount(0);
    await pass(10);
    expect(`${DIALOG}_unreachable`).toHaveCount(1);
    expect(atLogin()).toBe(false);
});

test("coming back to the tab asks at once, but not each time", async () => {
    await loadPage();
    await pass(10);
    browser.dispatchEvent(new Event("focus"));
    await pass(0);
    expect(server.takeAsked()).toEqual([]);
    await pass(60);
    server.delay = 30; // shortened meanwhile
    browser.dispatchEvent(new Event("focus"));
    document.dispatchEvent(new Event("visibilitychange"));
    await pass(0);
    expect(server.takeAsked()).toEqual(["outlook"]);
    expect(atLogin()).toBe(true);
});

test("a request that meets the expired session leads to the login, with no dialog of Odoo's", async () => {
    expect.errors(1);
    await loadPage();
    onRpc("/some/work", () => {
        throw makeServerError({ code: 100, errorName: "odoo.http.SessionExpiredException", message: "Session expired" });
    });
    rpc("/some/work");
    await pass(0);
    expect(atLogin()).toBe(true);
    expect(".modal").toHaveCount(0);
    expect(others.take("over")).toHaveLength(1);
    expect.verifyErrors([/expired/i]);
});

test("nothing holds the page once the session is over", async () => {
    await beWarned();
    const asks = [];
    const onBeforeUnload = () => asks.push("save?");
    browser.addEventListener("beforeunload", onBeforeUnload);
    after(() => browser.removeEventListener("beforeunload", onBeforeUnload));
    browser.dispatchEvent(new Event("beforeunload"));
    expect(asks).toEqual(["save?"]);
    await pass(WARNING + 1);
    expect(atLogin()).toBe(true);
    browser.dispatchEvent(new Event("beforeunload"));
    expect(asks).toEqual(["save?"]);
});

test("the way back in the browser's history does not show the page again", async () => {
    await loadPage();
    server.delay = -1; // logged out
    others.tell({ type: "login" });
    await pass(0);
    expect(atLogin()).toBe(true);
    mockLocation.href = `${mockLocation.origin}/odoo/action-7`;
    browser.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    expect(atLogin()).toBe(true);
});

test("a tab without channels to others works for itself", async () => {
    patchWithCleanup(browser, { BroadcastChannel: undefined });
    await beWarned();
    await pass(WARNING + 1);
    expect(atLogin()).toBe(true);
});

test("a session that cannot be extended says so, and lets the user work on to its end", async () => {
    await loadPage();
    server.endsAt = Date.now() + DELAY * 1000;
    await pass(DELAY - WARNING);
    await click(`${DIALOG}_stay`);
    await pass(0);
    expect(DIALOG).toHaveCount(1);
    expect(".modal-title").toHaveText("Your session ends soon");
    expect(`${DIALOG}_stay`).toHaveCount(0);
    await click(`${DIALOG}_go_on`);
    await pass(0);
    expect(DIALOG).toHaveCount(0);
    expect(".o_notification").toHaveCount(1);
    await pass(WARNING + 1);
    expect(atLogin()).toBe(true);
});

test("where the delay was shortened meanwhile, staying still closes the warning", async () => {
    await loadPage();
    await pass(6000);
    server.activity();
    server.delay = 100; // less than the warning
    browser.dispatchEvent(new Event("focus"));
    await pass(0);
    expect(DIALOG).toHaveCount(1);
    await pass(5);
    await click(`${DIALOG}_stay`);
    await pass(0);
    expect(DIALOG).toHaveCount(0);
    expect(others.take("outlook").at(-1).longest).toBe(100);
    await pass(50);
    expect(DIALOG).toHaveCount(1);
    expect(".modal-title").toHaveText("Are you still there?");
});

test("a warning that others close comes back", async () => {
    await beWarned();
    getService("dialog").closeAll();
    await pass(1);
    expect(DIALOG).toHaveCount(1);
});

test("with no limit in force nothing is asked, until the user comes back after a while", async () => {
    await loadPage({ expires_in: null });
    await pass(200);
    browser.dispatchEvent(new Event("focus"));
    await pass(0);
    expect(server.takeAsked()).toEqual([]);
    await pass(200);
    browser.dispatchEvent(new Event("focus"));
    await pass(0);
    expect(server.takeAsked()).toEqual(["outlook"]);
});

test("a page without the addon's information is left alone", async () => {
    await makeMockEnv();
    expect(getService("session_expiry")).toBe(null);
});

test("where the addon is gone, it stops asking", async () => {
    await loadPage();
    onRpc(OUTLOOK_ROUTE, () => {
        server.asked.push("outlook");
        throw makeServerError({ code: 404, message: "404: Not Found" });
    });
    await pass(DELAY - WARNING);
    await pass(3600);
    expect(server.takeAsked()).toEqual(["outlook"]);
    expect(atLogin()).toBe(false);
});
