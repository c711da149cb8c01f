#!/usr/bin/env bash
# Builds the extension's library in release for the PostgreSQL of PG or PG_CONFIG: target/release/lib<name>.so for 15,
# target/build/pg<server>/release/lib<name>.so for others
source "$(dirname "$0")/env.sh"
become_builder "$@"

built_for=${library%/*}/$name.built-for
wanted=$("$PG_CONFIG" --version)

if ! command -v cargo >/dev/null; then
    # As in `sudo make install`, where sudo has a PATH of its own.
    [ "$(cat "$built_for" 2>/dev/null)" = "$wanted" ] || die "cargo is not in PATH" "Build first as the user who has it: make build"
    say "cargo is not in PATH: taking the library that was built before"
    exit
fi

# pgrx does not notice that a server has been replaced by another at the same place.
if is_cached_server && [ -f "$built_for" ] && [ "$(cat "$built_for")" != "$wanted" ]; then rm -rf "$build_directory"; fi

say "Building the extension for $("$PG_CONFIG" --version) (the first time takes some minutes)"
export PGRX_PG_CONFIG_PATH=$PG_CONFIG PGRX_HOME=$root/target/pgrx
# --ignore-rust-version: see Cargo.toml.
CARGO_TARGET_DIR=$build_directory cargo build --release --ignore-rust-version -p "$name" --no-default-features --features "pg$PG"
echo "$wanted" >"$built_for"
