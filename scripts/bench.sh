#!/usr/bin/env bash
# Measures the extension against what people use instead, on throwaway servers: a table on standard output, and
# results.json, tables.md and performance.svg in target/bench.
#
# QUICK=1         about two minutes instead of ten
# SMOKE=1         seconds: only whether it still runs
# PARTS=a,b,…     only these: load, background, instructions, growth, cost
source "$(dirname "$0")/env.sh"
become_builder "$@"

SESSION_TIMEOUT_PG_BINDIR=$(scripts/prefix.sh)
export SESSION_TIMEOUT_PG_BINDIR
[ -x "$SESSION_TIMEOUT_PG_BINDIR/pgbench" ] || die "there is no pgbench in $SESSION_TIMEOUT_PG_BINDIR"
if [ "$PG" -lt 15 ]; then die "the benchmark needs PostgreSQL 15 or later" "pgbench counts failed transactions from there on."; fi

cargo run --quiet --profile bench -p session_timeout_bench -- target/bench
