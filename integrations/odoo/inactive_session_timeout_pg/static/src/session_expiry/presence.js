import { browser } from "@web/core/browser/browser";

/** In the headers of a request that nobody asked for: the server counts no activity. */
export const BACKGROUND_HEADER = "X-Session-Timeout-Background";

// All in milliseconds.
const GONE = 60_000; // without input for so long, nobody has left a field or the page by hand
const AFTERWARDS = 5_000; // how long after that requests are taken for its consequence
/** Browsers send 64 KiB at most from a page that is being closed. */
const BEACON_BYTES = 60_000;

/** Another, such as a printer's, would refuse a header that it does not know. */
export const isOurServer = (url) => url.startsWith("/") && !url.startsWith("//");

/**
 * Tells requests of the user from those that a page sends because a dialog takes the focus, the screen is locked, or the
 * browser closes: a field that is left asks the server for its consequences, and a form saves itself.
 */
export class Presence {
    constructor() {
        this.inputAt = Date.now(); // somebody has loaded the page
        this.goneUntil = 0;
        this.interruptedAt = null; // since when a dialog that nobody asked for has been open
        this.cleanups = [];
        const on = (types, listener) => {
            for (const type of types) {
                browser.addEventListener(type, listener, { capture: true, passive: true });
                this.cleanups.push(() => browser.removeEventListener(type, listener, { capture: true }));
            }
        };
        on(["keydown", "input", "pointerdown", "click", "touchstart", "wheel"], () => this.onInput());
        on(["change", "blur", "visibilitychange", "pagehide", "beforeunload"], () => this.onLeave());
        const { navigator } = window;
        navigator.sendBeacon = (url, data) => this.sendBeacon(url, data);
        this.cleanups.push(() => delete navigator.sendBeacon); // the prototype's is there again
    }

    stop() {
        this.cleanups.forEach((cleanup) => cleanup());
    }

    onInput() {
        this.inputAt = Date.now();
        this.goneUntil = 0;
    }

    onLeave() {
        const now = Date.now();
        if (now - this.inputAt > GONE) {
            this.goneUntil = now + AFTERWARDS;
        }
    }

    /** Whether a request that is sent now is nobody's wish. */
    isBackground() {
        return (
            Date.now() < this.goneUntil ||
            (this.interruptedAt !== null && this.inputAt <= this.interruptedAt)
        );
    }

    /** A beacon has no headers. */
    sendBeacon(url, data) {
        if (!isOurServer(url) || !this.isBackground() || !(data?.size < BEACON_BYTES)) {
            return Navigator.prototype.sendBeacon.call(window.navigator, url, data);
        }
        const headers = { [BACKGROUND_HEADER]: "1" };
        browser.fetch(url, { method: "POST", body: data, headers, keepalive: true }).catch(() => {});
        return true;
    }
}
