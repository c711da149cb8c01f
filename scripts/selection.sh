#!/usr/bin/env bash
# Prints parts of the names of tests: those of a selection, for test.sh. A test of the suite checks that each is there.
#
# selection.sh short    the tests that depend most on PostgreSQL's own code, for the versions that are not tested in full
# selection.sh soak     the tests of preloaded servers; some of them have a long form
set -euo pipefail

case ${1:-} in
short)
    echo smoke:: interface:: dump:: upgrade:: hot_update rules::r03
    echo r04_activity_survives::rollback:: restart:: snapshot_file:: other_starts:: standby:: rewrites::
    ;;
soak) echo rules:: worker:: views:: altered_tables:: pooler:: replication:: model:: ;;
*)
    echo "usage: selection.sh short|soak" >&2
    exit 2
    ;;
esac
