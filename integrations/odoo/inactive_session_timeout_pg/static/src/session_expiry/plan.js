/**
 * What to show, and when to look again: decisions on what the server has told, without a clock.
 *
 * @typedef {{
 *  valid: boolean;              // false: nobody is logged in, or the session is over
 *  expires_in: number | null;   // seconds; null: no limit is in force
 *  warn: boolean;               // whether the server says that it is time to warn
 * }} Outlook
 * @typedef {{
 *  warning: number;             // seconds: how long before its end a session is warned
 *  longest: number;             // how long it has after activity
 * }} Limits
 */

/** Seconds after the deadline before the server is asked: at the deadline itself a session is still valid. */
export const GRACE = 0.3;

/** The longest time that browsers let a timer run is 2^31 ms; a look once a day is no burden. */
const LONGEST_WAIT = 86400;

/** Seconds between attempts while the server cannot be reached: 1, 2, 4 … 30. */
export function retryIn(failures) {
    return Math.min(2 ** (failures - 1), 30);
}

/**
 * Seconds before its end from which a session is warned. A warning that takes nearly all of its time would hardly ever go
 * away.
 *
 * @param {Limits} limits
 */
export function leadOf({ warning, longest }) {
    return warning < 0.75 * longest ? warning : longest / 2;
}

/**
 * Seconds that a warning waits for somebody who types to pause, at most.
 *
 * @param {number} left
 */
export function patience(left) {
    return Math.max(0, Math.min(30, left / 2));
}

/**
 * @param {Outlook} outlook of a valid session
 * @param {Limits} limits
 * @returns {{ warned: boolean; lookIn: number | null }} whether to warn now, and in how many seconds to ask again
 */
export function plan({ expires_in: left, warn }, limits) {
    if (left === null) {
        return { warned: false, lookIn: null };
    }
    const lead = leadOf(limits);
    if (warn && left <= lead) {
        return { warned: true, lookIn: Math.min(left + GRACE, LONGEST_WAIT) };
    }
    let lookIn = left - lead;
    if (lookIn <= 0) {
        // The server warns later than this page knew when it was loaded.
        lookIn = left / 2 > 1 ? left / 2 : left + GRACE;
    } else if (lead === 0) {
        lookIn += GRACE;
    }
    return { warned: false, lookIn: Math.min(lookIn, LONGEST_WAIT) };
}
