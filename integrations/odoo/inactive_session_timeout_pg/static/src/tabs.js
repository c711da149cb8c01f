import { browser } from "@web/core/browser/browser";

/** Messages between the tabs of one browser, which share a session: those of the web client, and login pages. */

export const CHANNEL = "inactive_session_timeout_pg";

/** Milliseconds after which a message is old: a tab that was frozen hears all that it missed when it wakes. */
const OLD = 10_000;

/**
 * @param {(message: { type: string }) => void} [receive] is called with each message of another tab
 * @returns {{ tell: (message: { type: string }) => void; close: () => void }}
 */
export function openTabs(receive) {
    if (!browser.BroadcastChannel) {
        return { tell: () => {}, close: () => {} }; // each tab for itself
    }
    const channel = new browser.BroadcastChannel(CHANNEL);
    if (receive) {
        channel.addEventListener("message", ({ data }) => {
            if (Math.abs(Date.now() - data.at) < OLD) {
                receive(data);
            }
        });
    }
    return {
        tell: (message) => channel.postMessage({ ...message, at: Date.now() }),
        close: () => channel.close(),
    };
}

/**
 * Milliseconds to let others go first where something is due in all tabs at the same moment. The tab in use asks at
 * once, and the others hear what it has learnt.
 */
export function myTurn() {
    if (document.hasFocus()) {
        return 0;
    }
    return document.visibilityState === "visible"
        ? 100 + 300 * Math.random()
        : 500 + 2500 * Math.random();
}

/**
 * Asks the question, unless another tab is asking one. On plain HTTP browsers have no locks: there, two tabs may ask
 * at the same moment, which costs a request.
 *
 * @param {() => Promise<void>} question
 * @returns {Promise<boolean>} whether it was asked
 */
export async function askAlone(question) {
    const { locks } = browser.navigator;
    if (!locks) {
        await question();
        return true;
    }
    return locks.request(CHANNEL, { ifAvailable: true }, async (lock) => {
        if (lock) {
            await question();
        }
        return Boolean(lock);
    });
}
