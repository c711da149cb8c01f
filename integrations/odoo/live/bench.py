"""Six parallel requests of one session: with no check, with the addon, and with an UPDATE in the request's transaction.

Three Odoo servers on copies of one database take turns, so that what else the machine does falls on all of them alike.
Prints a table for docs/odoo.md; fails where the addon's p99 is more than 1.1 times that without a check, or a request
was repeated.
"""

import os
import random
import statistics
import sys
import time

from harness import MAIN, Browser, Odoo, in_parallel, installed, requests

PARALLEL = 6
ROUNDS = int(os.environ.get("ROUNDS", "60"))
REQUESTS = 20  # of each thread, in a round
WARM_UP = 3
LIMIT = 1.1


def a_round(browser):
    """The milliseconds of each request."""
    url = f"{browser.odoo.url}/web/dataset/call_kw/res.partner/web_search_read"
    params = {
        "model": "res.partner", "method": "web_search_read", "args": [],
        "kwargs": {"domain": [], "specification": {"name": {}, "email": {}, "phone": {}}, "limit": 80},
    }

    def work(_):
        with requests.Session() as http:
            http.cookies.set("session_id", browser.sid)
            times = []
            for _ in range(REQUESTS):
                started = time.perf_counter()
                answer = http.post(url, json={"jsonrpc": "2.0", "params": params}, timeout=120).json()
                times.append((time.perf_counter() - started) * 1000)
                assert "error" not in answer, answer["error"]
            return times

    return [milliseconds for times in in_parallel(PARALLEL, work) for milliseconds in times]


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def main():
    installed()
    update = MAIN.copy("bench_update")
    update.odoo("-i", "session_update")
    variants = {
        "none": MAIN.copy("bench_none"),
        "this addon": MAIN.copy("bench_addon", "installed"),
        "an `UPDATE` in the request's transaction": update,
    }
    browsers, times = {}, {}
    try:
        for name, database in variants.items():
            odoo = Odoo(database, "--log-level", "info")
            browsers[name], times[name] = Browser(odoo, "admin"), []
        for number in range(WARM_UP + ROUNDS):
            for name in random.sample(list(browsers), len(browsers)):
                measured = a_round(browsers[name])
                if number >= WARM_UP:
                    times[name] += measured
        repeated = {name: browser.odoo.log().count(" tries left, try again") for name, browser in browsers.items()}
    finally:
        for browser in browsers.values():
            browser.odoo.stop()

    print("| the check | requests | p50 ms | p99 ms | max ms | repeated after 40001 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, measured in times.items():
        print(
            f"| {name} | {len(measured)} | {statistics.median(measured):.0f} | {percentile(measured, 0.99):.0f} "
            f"| {max(measured):.0f} | {repeated[name]} |"
        )
    ratio = percentile(times["this addon"], 0.99) / percentile(times["none"], 0.99)
    print(f"\nthis addon / none at p99: {ratio:.2f} (limit {LIMIT}), at p50: "
          f"{statistics.median(times['this addon']) / statistics.median(times['none']):.2f}")
    return 0 if ratio <= LIMIT and not repeated["this addon"] else 1


if __name__ == "__main__":
    sys.exit(main())
