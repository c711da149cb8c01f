#!/usr/bin/env bash
# Runs the tests of pg_upgrade to the PostgreSQL of PG or PG_CONFIG. The extension is built for both already; make
# test-pg-upgrade, or test-all.sh, does that.
#
# test-pg-upgrade.sh [old]    from this major version, 15 unless given
source "$(dirname "$0")/env.sh"
become_builder "$@"

old=${1:-15}
[ "$PG" -gt "$old" ] || die "pg_upgrade goes to a later major version, and $PG is not later than $old" \
    "Such as: make test-pg-upgrade PG=17"
SESSION_TIMEOUT_OLD_PG_BINDIR=$(PG=$old PG_CONFIG='' scripts/prefix.sh)
export SESSION_TIMEOUT_OLD_PG_BINDIR
say "pg_upgrade from PostgreSQL $("$SESSION_TIMEOUT_OLD_PG_BINDIR/postgres" --version | cut -d ' ' -f 3) in $SESSION_TIMEOUT_OLD_PG_BINDIR"
scripts/test.sh --ignored pg_upgrade
