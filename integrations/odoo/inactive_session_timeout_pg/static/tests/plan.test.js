import { GRACE, patience, plan, retryIn } from "@inactive_session_timeout_pg/session_expiry/plan";

import { describe, expect, test } from "@odoo/hoot";

describe.current.tags("headless");

const limits = { warning: 300, longest: 7200 };

test("it looks again when a warning would be due without activity", () => {
    expect(plan({ expires_in: 7200, warn: false }, limits)).toEqual({ warned: false, lookIn: 6900 });
    expect(plan({ expires_in: 301, warn: false }, limits)).toEqual({ warned: false, lookIn: 1 });
});

test("it warns when the server says so, and looks again just after the end", () => {
    expect(plan({ expires_in: 300, warn: true }, limits)).toEqual({ warned: true, lookIn: 300 + GRACE });
    expect(plan({ expires_in: 0, warn: true }, limits)).toEqual({ warned: true, lookIn: GRACE });
});

test("without a limit there is nothing to look for", () => {
    expect(plan({ expires_in: null, warn: false }, limits)).toEqual({ warned: false, lookIn: null });
});

test("with warnings switched off it looks just after the end", () => {
    const off = { warning: 0, longest: 7200 };
    expect(plan({ expires_in: 100, warn: false }, off)).toEqual({ warned: false, lookIn: 100 + GRACE });
});

test("a warning that would take nearly all of a session's time takes half of it", () => {
    const short = { warning: 300, longest: 120 };
    expect(plan({ expires_in: 120, warn: true }, short)).toEqual({ warned: false, lookIn: 60 });
    expect(plan({ expires_in: 60, warn: true }, short)).toEqual({ warned: true, lookIn: 60 + GRACE });
    const longer = { warning: 60, longest: 90 };
    expect(plan({ expires_in: 90, warn: false }, longer)).toEqual({ warned: false, lookIn: 30 });
});

test("where the server warns later than the page knew, it looks a few times and not without pause", () => {
    let left = 300;
    let looks = 0;
    while (left > 0) {
        const { warned, lookIn } = plan({ expires_in: left, warn: false }, limits);
        expect(warned).toBe(false);
        expect(lookIn).toBeGreaterThan(GRACE);
        left -= lookIn;
        looks++;
    }
    expect(looks).toBeLessThan(12);
});

test("it looks once a day at least, which a timer can wait for", () => {
    expect(plan({ expires_in: 90 * 86400, warn: false }, limits).lookIn).toBe(86400);
});

test("a warning waits for half of what is left, and for half a minute, at most", () => {
    expect([300, 20, 0, -5].map(patience)).toEqual([30, 10, 0, 0]);
});

test("attempts become rarer, and go on", () => {
    expect([1, 2, 3, 4, 5, 6, 7].map(retryIn)).toEqual([1, 2, 4, 8, 16, 30, 30]);
    expect(retryIn(10_000)).toBe(30);
});
