#!/usr/bin/env bash
# Checks with promtool that Prometheus reads the alerts, that these fire when they should (monitoring/*.test.yml), and that
# it reads the dashboard's queries. Called by lint.sh.
source "$(dirname "$0")/env.sh"

promtool=$(command -v promtool || echo "$root/target/tools/bin/promtool")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ ! -x "$promtool" ]; then
    # Not the package itself: a server of Prometheus is not wanted here.
    say "Taking promtool out of Debian's package of Prometheus"
    (cd "$scratch" && apt-get download -qq -o APT::Sandbox::User=root prometheus && dpkg-deb -x prometheus_*.deb .) ||
        die "promtool is missing" "Install it, or let apt find the package prometheus: sudo apt-get update"
    install -D "$scratch/usr/bin/promtool" "$promtool"
fi

# quiet PROGRAM …: shows what it says only where it fails
quiet() {
    local said
    said=$("$@" 2>&1) || die "$* failed:" "$said"
}
cd monitoring
quiet "$promtool" check rules session_timeout.rules.yml
quiet "$promtool" test rules session_timeout.rules.test.yml

# Each of the dashboard's queries as a rule, with Grafana's own interval filled in. (JSON is YAML, too.)
python3 - session_timeout.dashboard.json >"$scratch/queries.yml" <<'END'
import json
import sys

rules = [
    {"record": f"panel_{panel['id']}", "expr": target["expr"].replace("$__rate_interval", "5m")}
    for panel in json.load(open(sys.argv[1]))["panels"]
    for target in panel.get("targets", [])
]
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
END
quiet "$promtool" check rules --lint=none "$scratch/queries.yml"
