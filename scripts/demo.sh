#!/usr/bin/env bash
# Shows the extension's main job on a throwaway server: its own data directory, a unix socket and no port. Each step
# prints the statement and its answer, and fails where the answer is not the expected one.
#
# demo.sh         ends with nothing left running; KEEP=1 in the environment leaves the server
# demo.sh stop    stops the server that was left
source "$(dirname "$0")/env.sh"
become_builder "$@"

kept=$root/target/demo-server # a link to the directory of the server that was left

stop_server() {
    local directory=$1
    if [ -f "$directory/data/postmaster.pid" ]; then
        (cd "$directory" && as_server "$(cat bindir)/pg_ctl" -D data -m immediate stop >/dev/null) || true
    fi
    rm -rf "$directory"
}

stop_kept() {
    if [ -L "$kept" ]; then
        stop_server "$(readlink "$kept")"
        rm -f "$kept"
        say "Stopped the demo's server and removed its data"
    fi
}

if [ "${1:-}" = stop ]; then
    stop_kept
    exit
fi

# ---- A server ----

bindir=$(scripts/prefix.sh)
say "Starting a server of its own"
directory=$(mktemp -d /tmp/session-timeout-demo.XXXXXX) # short: a socket's path has at most 107 bytes
trap 'stop_server "$directory"' EXIT
trap 'exit 130' INT TERM
echo "$bindir" >"$directory/bindir"
start_server "$bindir" "$directory"

psql() { "$bindir/psql" -X -q -h "$directory" -U postgres -v ON_ERROR_STOP=1 "$@"; }
psql -d postgres -c 'CREATE DATABASE demo'

# ---- The story ----

bold='' plain='' dim=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m' dim=$'\e[2m'; fi

tell() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

# run SQL [PATTERN]: shows the statement and its answer, in which a line must match the pattern.
run() {
    local answer
    printf '%s  demo=> %s%s\n' "$dim" "$1" "$plain"
    answer=$(psql -d demo --pset footer=off <<<"$1" 2>&1) || die "the statement failed:" "$answer"
    if [ -n "$answer" ]; then printf '%s\n' "$answer" | sed 's/^/    /'; fi
    if ! grep -q -E -e "${2:-}" <<<"$answer"; then die "expected an answer that matches: $2"; fi
}

pass() {
    printf '\n%s  … %s seconds pass …%s\n' "$dim" "$1" "$plain"
    sleep "$1"
}

verdict() { echo "SELECT valid, status, expires_in FROM session_timeout.session_verdict('$1', '$2');"; }

tell "An administrator installs the extension, and lets sessions be idle for 2 seconds (7200 unless told otherwise)."
run "CREATE EXTENSION inactive_session_timeout;"
run "UPDATE session_timeout.config_parameter SET value = '2'
          WHERE key = 'inactive_session_time_out_delay';"

tell "Alice and Bob log in. The application made up their session ids; the table keeps only digests of them."
run "SELECT session_timeout.open_session('sid-of-alice', 'alice');"
run "SELECT session_timeout.open_session('sid-of-bob', 'bob');"
run "SELECT left(digest::text, 18) || '…' AS digest, user_name, opened_at FROM session_timeout.session;" 'alice'

tell "Alice works: each request asks, and each one counts as activity."
run "$(verdict sid-of-alice /web/orders)" 't +\| active'
pass 1.2
run "$(verdict sid-of-alice /web/orders/17)" 't +\| active'
pass 1.2
run "$(verdict sid-of-alice /web/orders/17/edit)" 't +\| active'
tell "2.4 seconds since login, and she is still in: she was never idle for 2."

tell "She goes for lunch. Her browser goes on polling a url that is on the ignore list, which is no activity."
pass 1.2
run "$(verdict sid-of-alice /longpolling/poll)" 't +\| ignored'
pass 1.2
run "$(verdict sid-of-alice /longpolling/poll)" 't +\| ignored'

tell "Back from lunch, her next click finds her logged out, in spite of the polling."
run "$(verdict sid-of-alice /web/orders/17/edit)" 'f +\| idle_expired'

tell "That check woke the background worker. Her row is gone, and an event says when and why."
pass 1
run "SELECT at, user_name, kind, last_activity FROM session_timeout.session_event ORDER BY id;" 'alice +\| idle_expired'

tell "That is final: a longer delay does not bring her session back. Only logging in again does."
run "UPDATE session_timeout.config_parameter SET value = '1 hour'
          WHERE key = 'inactive_session_time_out_delay';"
run "SELECT session_timeout.check_session('sid-of-alice', '/web');" '^ *f *$'
run "UPDATE session_timeout.config_parameter SET value = '2'
          WHERE key = 'inactive_session_time_out_delay';"

tell "Bob never came back, so no check has found him. The worker does, at its next purge: every minute, or sooner if told so.
Whoever listens is told."
run "LISTEN session_timeout;
          UPDATE session_timeout.config_parameter SET value = '1'
          WHERE key = 'inactive_session_time_out_purge_interval';
          SELECT pg_sleep(2);" 'notification "session_timeout"'
run "SELECT at, user_name, kind, last_activity FROM session_timeout.session_event ORDER BY id;" 'bob +\| idle_expired'
run "SELECT count(*) AS sessions_left FROM session_timeout.session;" '^ *0 *$'
run "SELECT datname, flushed, expired, purged FROM session_timeout.stat_worker WHERE datname = 'demo';" 'demo'

# ---- The end ----

connect="$bindir/psql -h $directory -U postgres demo"
if [ -n "${KEEP:-}" ]; then
    stop_kept # one is enough
    trap - EXIT
    ln -sfn "$directory" "$kept"
    tell "The server is left running. Connect, and try more:"
    cat <<END
  $connect

  SELECT session_timeout.open_session('my-sid', 'carol', idle_delay => '1 minute');
  SELECT * FROM session_timeout.session_verdict('my-sid', '/web');
  SELECT * FROM session_timeout.peek_session('my-sid');      -- looks, and touches nothing
  SELECT session_timeout.close_session('my-sid');            -- logout
  SELECT key, value FROM session_timeout.config_parameter;   -- UPDATE takes effect at the next check
  \\dx+ inactive_session_timeout

To stop it and remove its data: make demo-stop
END
else
    tell "That was all; the server and its data are removed. To keep one, to connect with psql and try more:"
    echo "  make demo KEEP=1"
fi
