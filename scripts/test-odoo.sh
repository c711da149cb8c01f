#!/usr/bin/env bash
# Runs the Odoo addon's tests on a real Odoo 19, on throwaway PostgreSQL servers: those that run inside Odoo (Python,
# HTTP, browser tours), with Odoo's own tests of HTTP, and those that watch one from outside (installing, parallel
# requests, websockets, a replica).
#
# test-odoo.sh bench      measures parallel requests instead (ROUNDS=60)
# test-odoo.sh [NAME]     of the latter only those whose name contains NAME, and the former only if NAME is `addon`;
#                         KEEP=1 leaves the directory with its logs
source "$(dirname "$0")/env.sh"
become_builder "$@"

only=${1:-}
bindir=$(scripts/prefix.sh)
directory=$(mktemp -d /tmp/session-timeout-odoo.XXXXXX)
odoo=$root/target/odoo/run
export ODOO_DATA=$directory/data

finish() {
    (cd "$directory" && as_server "$bindir/pg_ctl" -D pg/data -m immediate stop >/dev/null 2>&1) || true
    if [ -n "${KEEP:-}" ]; then say "Logs are in $directory"; else rm -rf "$directory"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

say "Starting a PostgreSQL server of its own"
mkdir "$directory/pg" "$directory/data"
if [ "$(id -u)" -eq 0 ]; then chown postgres: "$directory/pg"; fi
chmod 755 "$directory"
(cd "$directory/pg" && as_server "$bindir/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >output 2>&1) ||
    die "initdb failed:" "$(cat "$directory/pg/output")"
settings="-c listen_addresses='' -c unix_socket_directories='$directory/pg' -c fsync=off -c max_connections=200"
settings+=" -c shared_preload_libraries=$name -c session_timeout.naptime=1"
(cd "$directory/pg" && as_server "$bindir/pg_ctl" -D data -l log -o "$settings" -w start >output 2>&1) ||
    die "pg_ctl failed:" "$(cat "$directory/pg/output")"
"$bindir/psql" -X -q -h "$directory/pg" -U postgres -d postgres -c 'CREATE ROLE odoo LOGIN CREATEDB'

# The lines of a log that say that something failed. Not what a page says when its tour is over and its session gone, nor that
# a transaction could not be serialized, as when a test deletes what a page is saving: Odoo tries such a request again.
errors() {
    awk '/ (ERROR|CRITICAL) / && !/ received after termination: / {
            error = $0
            if (/ odoo.sql_db: bad query: / && (getline next_line) > 0 && next_line ~ /could not serialize access/) next
            print error
            found = 1
        }
        END { exit !found }' "$1"
}
# run LOG [option…]: Odoo exits with 0 also where it has logged an error.
run() {
    "$odoo" --db_host "$directory/pg" --db_user odoo --http-interface 127.0.0.1 --max-cron-threads 0 "${@:2}" >"$1" 2>&1 && ! errors "$1" >/dev/null
}
shown() { grep -E -A 40 ' (ERROR|CRITICAL) |FAIL: |Traceback' "$1" | head -n 200 || tail -n 40 "$1"; }

say "Making a database with Odoo in it"
run "$directory/base.log" -d base -i web,bus,base_setup,auth_signup,auth_totp,auth_timeout,rpc,test_http \
    --without-demo true --stop-after-init || die "Odoo failed:" "$(shown "$directory/base.log")"

failed=()
# tests NAME [option…]: in Odoo
tests() {
    local started=$SECONDS ran
    if ! run "$directory/$1.log" -d addon --test-enable --http-port 0 --stop-after-init "${@:2}"; then
        shown "$directory/$1.log"
        failed+=("tests in Odoo: $1: $(errors "$directory/$1.log" | cut -c 1-300 | tail -n 3 || true)")
    fi
    ran=$(grep -E -o '[0-9]+ failed, [0-9]+ error\(s\) of [0-9]+ tests' "$directory/$1.log" | tail -n 1) || true
    say "In Odoo: ${ran:-no test ran} ($((SECONDS - started)) s)"
    [[ $ran =~ of\ [1-9] ]] || failed+=("no test ran in Odoo: $1")
}
outside() {
    (cd integrations/odoo/live && SESSION_TIMEOUT_ODOO=$odoo SESSION_TIMEOUT_DIRECTORY=$directory SESSION_TIMEOUT_BINDIR=$bindir \
        "$root/target/odoo/python/bin/python" -B "$@")
}

if [ "$only" = bench ]; then
    say "Measuring parallel requests of one session (some minutes)"
    outside bench.py
    exit
fi

if [ -z "$only" ] || [ "$only" = addon ]; then
    say "Installing the addon and running its tests, and Odoo's own of HTTP, in Odoo"
    "$bindir/createdb" -h "$directory/pg" -U odoo -T base addon
    mkdir -p "$ODOO_DATA/filestore" && cp -a "$ODOO_DATA/filestore/base" "$ODOO_DATA/filestore/addon"
    run "$directory/install.log" -d addon -i inactive_session_timeout_pg --stop-after-init ||
        die "Odoo failed:" "$(shown "$directory/install.log")"
    ours=/inactive_session_timeout_pg
    # -u: the tests of a module that is installed already run only with it.
    tests addon -u inactive_session_timeout_pg,test_http --test-tags "$ours,/test_http"
    say "Installing Point of Sale in the same database, and running the tests of its tills"
    # Not in one run: Odoo would load the tests of all that it installs, which need more modules.
    run "$directory/till-install.log" -d addon -i point_of_sale --skip-auto-install --stop-after-init ||
        die "Odoo failed:" "$(shown "$directory/till-install.log")"
    tests till -u inactive_session_timeout_pg --test-tags "$ours:TestPointOfSale"
fi

if [ "$only" != addon ]; then
    say "Running the tests that watch Odoo from outside"
    outside -W ignore::ResourceWarning -m unittest ${only:+-k "$only"} || failed+=("tests from outside")
fi

[ ${#failed[@]} -eq 0 ] || die "failed: $(printf '%s; ' "${failed[@]}")" "KEEP=1 leaves the logs."
