#!/usr/bin/env bash
# Runs the tests of the examples, on a throwaway PostgreSQL server that preloads the library, as a role that may create
# databases and no more.
#
# test-examples.sh [NAME]     only the tests whose name contains it
source "$(dirname "$0")/env.sh"
become_builder "$@"

only=${1:-}
requirements=$root/examples/tests/requirements.txt
python=$root/target/examples/python
if ! cmp -s "$requirements" "$python/installed.txt"; then
    say "Installing the packages of examples/tests/requirements.txt into $python"
    rm -rf "$python"
    python3 -m venv "$python"
    "$python/bin/pip" install -q --disable-pip-version-check --only-binary :all: -r "$requirements"
    cp "$requirements" "$python/installed.txt"
fi

bindir=$(scripts/prefix.sh)
directory=$(mktemp -d /tmp/session-timeout-examples.XXXXXX)
finish() {
    (cd "$directory" && as_server "$bindir/pg_ctl" -D data -m immediate stop >/dev/null 2>&1) || true
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 130' INT TERM

say "Starting a PostgreSQL server of its own"
start_server "$bindir" "$directory"
export PGHOST=$directory PGUSER=app PGDATABASE=shop
"$bindir/psql" -X -q -U postgres -d postgres -v ON_ERROR_STOP=1 \
    -c 'CREATE ROLE app LOGIN CREATEDB' -c 'CREATE DATABASE shop OWNER app'

failed=() total=0
# run WHAT FOLDER MODULE [argument…]: the tests with that folder's example, and a line that counts them
run() {
    local what=$1 folder=$2 output=$directory/$2.log started=$SECONDS ran status=0
    (cd examples/tests && PYTHONPATH=$root/examples/$folder:. "$python/bin/python" -B -m "${@:3}" ${only:+-k "$only"}) \
        >"$output" 2>&1 || status=$?
    ran=$(sed -n 's/^Ran \([0-9]*\) tests\? in .*/\1/p' "$output")
    if [ -n "$only" ] && [ "$ran" = 0 ]; then status=0; fi # newer Pythons take no test for a failure
    if [ $status -ne 0 ]; then
        failed+=("$what")
        cat "$output"
    fi
    say "$what: ${ran:-0} tests, $([ $status -eq 0 ] && echo passed || echo failed) ($((SECONDS - started)) s)"
    total=$((total + ${ran:-0}))
}
run Django django django test --settings project --noinput test_django
run SQLAlchemy sqlalchemy unittest test_sqlalchemy

[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
[ "$total" -gt 0 ] || die "no test ran${only:+, for none has a name that contains $only}"
