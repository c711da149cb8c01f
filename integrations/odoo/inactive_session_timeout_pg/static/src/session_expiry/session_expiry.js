import { browser } from "@web/core/browser/browser";
import { _t } from "@web/core/l10n/translation";
import {
    ConnectionAbortedError,
    ConnectionLostError,
    rpc,
    rpcBus,
    RPCError,
} from "@web/core/network/rpc";
import { registry } from "@web/core/registry";
import { redirect } from "@web/core/utils/urls";
import { session } from "@web/session";

import { reactive } from "@odoo/owl";

import { askAlone, myTurn, openTabs } from "../tabs";
import { leadOf, patience, plan, retryIn } from "./plan";
import { BACKGROUND_HEADER, isOurServer, Presence } from "./presence";
import { SessionExpiryDialog } from "./session_expiry_dialog";

/** Asks how long is left; never counts as activity. */
export const OUTLOOK_ROUTE = "/inactive_session_timeout_pg/outlook";
/** Counts as activity, and tells how long is left then. */
export const STAY_ROUTE = "/inactive_session_timeout_pg/stay";

// All in milliseconds.
const ANSWER_WITHIN = 15_000; // else the server counts as unreachable
const HOLD = 10_000; // how long a tab waits for the answer to another tab's question
const STALE = 30_000; // what was learnt longer ago is asked again when the user comes back to the tab
const STALE_UNLIMITED = 300_000; // the same where no limit was in force
const CALM = 2_000; // between the questions that requests of this tab cause
const PAUSE = 2_000; // without input, before a warning comes
const CLOCK_SET = 60_000; // answers out of order by more than this: the clock was set

export const isSessionExpired = (error) =>
    error?.exceptionName === "odoo.http.SessionExpiredException";

/**
 * Follows the session's expiry: warns before it, and goes to the login page after it.
 *
 * The server decides. The browser's clock only says when to ask: at the moment when a warning is due if there was no
 * activity, and when time is up. Activity is not watched; the answer tells of it. One tab asks and tells the others.
 */
export class SessionExpiry {
    /**
     * @param {{ dialog: Object; notification: Object }} services
     * @param {{ expires_in: number | null; warning: number }} info when the page was rendered, in seconds
     */
    constructor(env, { dialog, notification }, { expires_in, warning }) {
        this.env = env;
        this.dialog = dialog;
        this.notification = notification;
        this.limits = { warning, longest: expires_in ?? 0 };
        this.state = reactive({
            deadline: null, // by Date.now(), which all tabs share
            warned: false,
            final: false, // staying does not help: the session has reached its longest duration
            unreachable: false,
            wish: false, // the user wants to stay, and the server does not know it yet
            busy: false, // it is being told
            over: false,
        });
        this.asking = false;
        this.failures = 0;
        this.activityAt = 0; // when the last request of this tab was answered
        this.ours = new Set(); // requests of our own, which are no activity
        this.background = new Set(); // those that nobody asked for, which are none either
        this.presence = new Presence();
        this.goneOn = false; // the user has seen that the session cannot be extended
        this.showBy = null; // when a warning comes that waits for a pause in typing

        // The page was rendered after it began to load.
        this.askedAt = Date.now() - browser.performance.now(); // when that was asked which is known
        this.listen();
        if (expires_in !== null) {
            this.state.deadline = this.askedAt + expires_in * 1000;
            const { lookIn } = plan({ expires_in, warn: false }, this.limits);
            this.lookAt(this.askedAt + lookIn * 1000);
        }
        this.tell({ type: "activity", db: session.db }); // loading a page is one
    }

    // ---- What happens ----

    listen() {
        const cleanups = [];
        const on = (target, type, listener, options) => {
            target.addEventListener(type, listener, options);
            cleanups.push(() => target.removeEventListener(type, listener, options));
        };
        on(rpcBus, "RPC:REQUEST", ({ detail }) => this.onRequest(detail));
        on(rpcBus, "RPC:RESPONSE", ({ detail }) => this.onResponse(detail));
        const onComeBack = () => this.onComeBack();
        for (const type of ["focus", "online", "pageshow"]) {
            on(browser, type, onComeBack);
        }
        on(document, "visibilitychange", onComeBack);
        // The way back in the browser's history may show the page as it was left.
        on(browser, "pageshow", (ev) => ev.persisted && this.state.over && this.goToLogin());
        // Nothing may hold the page once the session is over: it shows what is no longer the visitor's to see. This
        // listener was added before those of the views, which would ask whether to leave.
        const onBeforeUnload = (ev) => this.state.over && ev.stopImmediatePropagation();
        on(browser, "beforeunload", onBeforeUnload, { capture: true });
        const tabs = openTabs((message) => this.onMessage(message));
        this.tell = tabs.tell;
        cleanups.push(tabs.close);
        this.stop = () => {
            browser.clearTimeout(this.timer);
            browser.clearTimeout(this.calmTimer);
            cleanups.forEach((cleanup) => cleanup());
            this.presence.stop();
            this.state.warned = false;
            this.showOrHide();
        };
    }

    onRequest({ data, url, settings }) {
        if (url === OUTLOOK_ROUTE || url === STAY_ROUTE) {
            this.ours.add(data.id);
        } else if (isOurServer(url) && this.presence.isBackground()) {
            this.background.add(data.id);
            const { headers } = settings;
            settings.headers = { ...headers, [BACKGROUND_HEADER]: "1" };
            Promise.resolve().then(() => (settings.headers = headers || {})); // it may be used again
        }
    }

    onResponse({ data, error }) {
        if (this.ours.delete(data.id)) {
            return;
        }
        const background = this.background.delete(data.id);
        if (isSessionExpired(error)) {
            this.end(Date.now());
        } else if (error instanceof ConnectionLostError) {
            // Or the server has answered, and did not know for which of its databases: the session's file is gone.
            if (!this.state.unreachable) {
                this.askSoon();
            }
        } else if (!background && !(error instanceof ConnectionAbortedError)) {
            this.activityAt = Date.now();
            if (this.state.warned) {
                this.askSoon();
            }
        }
    }

    /** Timers of a hidden tab are late, and those of a sleeping computer later. */
    onComeBack() {
        if (document.visibilityState === "visible") {
            const now = Date.now();
            const stale = this.state.deadline === null ? STALE_UNLIMITED : STALE;
            if (this.state.unreachable || now - this.askedAt > stale || now > this.dueAt) {
                this.ask();
            }
        }
    }

    onMessage({ type, askedAt, deadline, ...outlook }) {
        switch (type) {
            case "asking":
                if (this.dueAt < Date.now() + HOLD && !this.asking) {
                    this.lookAt(Date.now() + HOLD);
                }
                break;
            case "outlook":
                outlook.expires_in = deadline === null ? null : (deadline - Date.now()) / 1000;
                this.learn({ valid: true, ...outlook }, askedAt);
                break;
            case "over":
                if (askedAt >= this.askedAt) {
                    this.leave();
                }
                break;
            case "activity":
                if (this.state.warned) {
                    this.due();
                }
                break;
            case "login": // a login page was opened
                this.due();
                break;
        }
    }

    // ---- Asking ----

    lookAt(time) {
        browser.clearTimeout(this.timer);
        this.dueAt = time;
        this.timer = browser.setTimeout(() => this.due(), Math.max(0, time - Date.now()));
    }

    /** It is time to ask, here and in the other tabs. */
    due() {
        browser.clearTimeout(this.timer);
        this.dueAt = Date.now();
        const wait = myTurn();
        if (wait) {
            this.timer = browser.setTimeout(() => this.askForAll(), wait);
        } else {
            this.askForAll();
        }
    }

    async askForAll() {
        const known = this.askedAt;
        const asked = await askAlone(() => this.ask());
        if (!asked && this.askedAt === known) {
            this.lookAt(Date.now() + HOLD); // where the other tab's answer does not come
        }
    }

    async ask() {
        if (!this.asking) {
            this.asking = true;
            await this.request(this.state.wish ? STAY_ROUTE : OUTLOOK_ROUTE);
            this.asking = false;
        }
    }

    /** What a request of this tab causes, which may be one of many. */
    askSoon() {
        browser.clearTimeout(this.calmTimer);
        const wait = Math.max(0, this.askedAt + CALM - Date.now());
        this.calmTimer = browser.setTimeout(() => this.ask(), wait);
    }

    async stay() {
        this.state.wish = true;
        this.state.busy = true;
        await this.request(STAY_ROUTE);
        this.state.busy = false;
    }

    async request(route) {
        if (this.state.over) {
            return;
        }
        browser.clearTimeout(this.timer);
        this.dueAt = Infinity;
        const askedAt = Date.now();
        this.tell({ type: "asking" });
        // The file of a session that has ended may be gone, which alone says whose database it is where there are several.
        const headers = { "X-Odoo-Database": session.db };
        const xhr = new browser.XMLHttpRequest();
        const request = rpc(route, {}, { silent: true, headers, xhr });
        let lateTimer;
        const late = new Promise((_, reject) => {
            lateTimer = browser.setTimeout(() => {
                request.abort(false);
                reject(new ConnectionLostError(route));
            }, ANSWER_WITHIN);
        });
        try {
            const outlook = await Promise.race([request, late]);
            const stayed = route === STAY_ROUTE;
            if (stayed) {
                this.state.wish = false;
            }
            this.learn(outlook, askedAt, { stayed, ours: true });
        } catch (error) {
            if (xhr.status === 403 && xhr.response.includes("x-odoo-database")) {
                this.onOtherDatabase();
            } else {
                this.onFailure(error, askedAt);
            }
        } finally {
            browser.clearTimeout(lateTimer);
        }
    }

    /** Somebody has logged in to another database in this browser: its session is no longer this page's. */
    onOtherDatabase() {
        this.state.over = true; // nothing holds the page
        browser.location.reload();
    }

    /** The server has not told anything: nothing is known, and nobody is logged out for that. */
    onFailure(error, askedAt) {
        if (isSessionExpired(error)) {
            return this.end(askedAt);
        }
        if (error.code === 404) {
            return this.stop(); // the addon was uninstalled
        }
        if (error instanceof RPCError && this.state.wish) {
            this.state.wish = false;
            Promise.reject(error); // such as a request to confirm one's identity: Odoo shows it
        }
        this.failures++;
        this.state.unreachable = true;
        if (Date.now() > this.state.deadline) {
            this.state.wish = false; // it was for this deadline
        }
        this.lookAt(Date.now() + retryIn(this.failures) * 1000);
        this.warnUnheard();
        this.showOrHide();
    }

    /** The server cannot be asked whether it is time to warn: it is by what this page knows. */
    warnUnheard() {
        const lead = leadOf(this.limits) * 1000;
        if (this.state.deadline === null || this.state.warned || !lead) {
            return;
        }
        const worked = this.activityAt > this.askedAt;
        const end = worked ? this.activityAt + this.limits.longest * 1000 : this.state.deadline;
        if (Date.now() >= end - lead) {
            this.state.deadline = end;
            this.state.warned = true;
        } else if (end - lead < this.dueAt) {
            this.lookAt(end - lead);
        }
    }

    // ---- Knowing ----

    /**
     * @param {import("./plan").Outlook & { final?: boolean; longest?: number }} outlook; the latter from other tabs
     * @param {number} askedAt when the server was asked for it
     * @param {{ stayed?: boolean; ours?: boolean }} [how] whether the question was a wish to stay, whether it was ours
     */
    learn(outlook, askedAt, { stayed = false, ours = false } = {}) {
        const older = this.askedAt - askedAt;
        if (this.state.over || (older > 0 && older < CLOCK_SET)) {
            return; // something newer is known
        }
        if (!outlook.valid) {
            return this.end(askedAt);
        }
        this.askedAt = askedAt;
        this.failures = 0;
        this.state.unreachable = false;
        const { expires_in, warn } = outlook;
        const now = Date.now();
        const deadline = expires_in === null ? null : now + expires_in * 1000;
        // A wish to stay that moves the end, moves it by all that a session has now.
        const moved = stayed && deadline > this.state.deadline + 1000;
        this.limits.longest =
            outlook.longest ?? (moved ? expires_in : Math.max(this.limits.longest, expires_in ?? 0));
        const { warned, lookIn } = plan(outlook, this.limits);
        if (warned && this.activityAt > askedAt) {
            // That was asked before a request of this tab.
            this.activityAt = 0;
            return this.lookAt(now);
        }
        this.state.deadline = deadline;
        this.state.warned = warned;
        this.state.final = warned && (outlook.final || stayed || this.state.final);
        this.goneOn &&= warned;
        if (ours) {
            const { longest } = this.limits;
            this.tell({ type: "outlook", askedAt, deadline, warn, longest, final: this.state.final });
        }
        if (lookIn === null) {
            browser.clearTimeout(this.timer);
            this.dueAt = Infinity;
        } else {
            this.lookAt(now + lookIn * 1000);
        }
        this.showOrHide();
    }

    /** The server says that the session is over. */
    end(askedAt) {
        this.tell({ type: "over", askedAt });
        this.leave();
    }

    leave() {
        if (this.state.over) {
            return;
        }
        for (const timer of [this.timer, this.calmTimer, this.showTimer]) {
            browser.clearTimeout(timer);
        }
        this.state.over = true;
        this.goToLogin();
    }

    goToLogin() {
        redirect(this.loginPage);
    }

    /** With the way back. */
    get loginPage() {
        const { pathname, search, hash } = browser.location;
        const way = new URLSearchParams({ db: session.db, redirect: pathname + search + hash });
        return `/web/login?${way}`;
    }

    // ---- Showing ----

    showOrHide() {
        browser.clearTimeout(this.showTimer);
        if (!this.state.warned || this.goneOn) {
            this.showBy = null;
            this.closeDialog?.();
        } else if (!this.closeDialog) {
            const wait = this.waitToShow();
            if (wait > 0) {
                this.showTimer = browser.setTimeout(() => this.showOrHide(), wait);
            } else {
                this.show();
            }
        }
    }

    /** Milliseconds until the dialog may come: it takes the focus, and swallows what somebody is typing. */
    waitToShow() {
        const now = Date.now();
        this.showBy ??= now + patience((this.state.deadline - now) / 1000) * 1000;
        return Math.min(this.presence.inputAt + PAUSE, this.showBy) - now;
    }

    show() {
        this.showBy = 0; // where others close it, it comes back at once
        this.presence.interruptedAt = Date.now();
        this.closeDialog = this.dialog.add(
            SessionExpiryDialog,
            {
                state: this.state,
                consequence: this.consequence,
                stay: () => this.stay(),
                logOut: () => this.logOut(),
                goOn: () => this.goOn(),
            },
            {
                onClose: () => {
                    this.closeDialog = null;
                    this.presence.interruptedAt = null;
                    if (!this.state.busy) {
                        Promise.resolve().then(() => this.showOrHide()); // where others closed it
                    }
                },
            }
        );
    }

    /** What the end of the session does to the user's work. */
    get consequence() {
        return _t("Unsaved changes will be lost.");
    }

    /** As the user menu does it. */
    logOut() {
        registry.category("user_menuitems").get("log_out")(this.env).callback();
    }

    goOn() {
        this.goneOn = true;
        this.showOrHide();
        const time = luxon.DateTime.fromMillis(this.state.deadline).toLocaleString(
            luxon.DateTime.TIME_SIMPLE
        );
        this.notification.add(_t("Your session ends at %s. Save your work before.", time), {
            type: "warning",
            sticky: true,
        });
    }
}
