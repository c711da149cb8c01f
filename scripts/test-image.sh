#!/usr/bin/env bash
# Builds the image of Dockerfile with docker or podman, starts a server in it, and uses the extension.
PG=${PG:-17}
source "$(dirname "$0")/env.sh"

engine=$(command -v docker || command -v podman) || die "neither docker nor podman is here"
image=$name:test-$PG

say "Building $image with $(basename "$engine")"
"$engine" build --build-arg "PG=$PG" -t "$image" .

say "Starting a server in it"
container=$("$engine" run --rm --detach -e POSTGRES_PASSWORD=secret "$image")
trap '"$engine" stop --time 2 "$container" >/dev/null' EXIT

# While the image makes its cluster, the server in it listens on no address.
ask() {
    "$engine" exec -e PGPASSWORD=secret "$container" \
        psql -X -q -A -t -h 127.0.0.1 -U postgres -v ON_ERROR_STOP=1 -c "$1" | tr '\n' ' '
}
for _ in $(seq 120); do
    if ask 'SELECT 1' >/dev/null 2>&1; then break; fi
    sleep 0.5
done

# expect SQL ANSWER
expect() {
    local answer
    answer=$(ask "$1")
    [ "$answer" = "$2" ] || die "$1" "answered $answer" "and not  $2"
}
expect "CREATE EXTENSION $name" ""
expect "SELECT preloaded FROM session_timeout.stat_session_timeout" "t "
expect "SELECT session_timeout.open_session('sid', 'alice')" " "
expect "SELECT session_timeout.check_session('sid', '/orders'), session_timeout.check_session('other')" "t|f "
say "The image works"
