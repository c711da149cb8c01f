#!/usr/bin/env bash
# The matrix: builds and tests on one server after the other, and ends with a table of them. Fails where any failed.
#
# SERVERS="16 18"    which; by default every supported version, and 17-assert
# SHORT=1            only the tests that depend most on PostgreSQL's own code; see selection.sh
source "$(dirname "$0")/env.sh"
become_builder "$@"

tests=()
if [ -n "${SHORT:-}" ]; then read -r -d '' -a tests < <(scripts/selection.sh short) || true; fi

if [ -n "${SERVERS:-}" ]; then
    read -r -a list <<<"$SERVERS"
else
    list=("${supported[@]}" 17-assert)
fi

logs=$root/target/test-all
mkdir -p "$logs"

# What is to be done for one server, a step a line with its arguments.
steps_of() {
    local old
    echo setup test
    echo build
    echo test "${tests[@]}"
    for old in $(upgrades_to "$1"); do
        if is_built "$old"; then echo "test-pg-upgrade $old"; fi
    done
}

# From which versions pg_upgrade is tested to a server: from the first, and to the last from the one before it.
upgrades_to() {
    [ "${1%%-*}" -gt "${supported[0]}" ] || return 0
    echo "${supported[0]}"
    if [ "$1" = "${supported[-1]}" ]; then echo "${supported[-2]}"; fi
}
is_built() { (server='' PG_CONFIG='' PG=$1 && source scripts/env.sh && [ -f "$library" ]); }

# The sum over the test programs of what a log says of `passed`, `failed` or `ignored`.
count() { sed -n -E "s/^test result: .* ([0-9]+) $2[;.].*/\1/p" "$1" | awk '{ sum += $1 } END { print sum + 0 }'; }

table=() failed=0
for one in "${list[@]}"; do
    log=$logs/$one.log started=$SECONDS outcome=ok
    say "PostgreSQL $one"
    while read -r -u 3 step arguments; do
        # shellcheck disable=SC2086 # a word each
        if ! PG=$one PG_CONFIG='' "scripts/$step.sh" $arguments; then
            outcome="$step failed" failed=1
            break
        fi
    done 3< <(steps_of "$one") > >(tee "$log") 2>&1
    wait "$!" || true # for tee to have written all
    for old in $(upgrades_to "$one"); do
        is_built "$old" || outcome="$outcome, pg_upgrade skipped: $old is not built"
    done
    version=$(sed -n 's/^==> Running the tests on PostgreSQL \([^ ]*\) .*/\1/p' "$log" | head -n 1)
    table+=("$(printf '%-10s %-8s %7s %7s %8s %7s  %s' "$one" "${version:-?}" "$(count "$log" passed)" \
        "$(count "$log" failed)" "$(count "$log" ignored)" "$((SECONDS - started)) s" "$outcome")")
done

echo
printf '%-10s %-8s %7s %7s %8s %7s  %s\n' server version passed failed ignored time outcome
printf '%s\n' "${table[@]}"
if [ -n "${SHORT:-}" ]; then echo "Short: tests whose name contains one of: ${tests[*]}. All of them: make test-all"; fi
echo "Logs: $logs"
exit "$failed"
