#!/usr/bin/env bash
# Runs the tests: the pure ones, and those on real servers, which take the private copy of PostgreSQL.
#
# test.sh [argument…]    arguments are for the test programs, such as part of a test's name
source "$(dirname "$0")/env.sh"
become_builder "$@"

SESSION_TIMEOUT_PG_BINDIR=$(scripts/prefix.sh)
export SESSION_TIMEOUT_PG_BINDIR

say "Running the tests on $(describe_server)"
cargo test --doc -p session_timeout_core -- "$@"
cargo test --lib --tests --no-fail-fast -p session_timeout_core -p session_timeout_tests -- "$@"
