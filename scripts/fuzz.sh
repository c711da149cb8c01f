#!/usr/bin/env bash
# Fuzzes the readers of what people and browsers write: the list of ignored URLs, and parameters. On the stable toolchain,
# with coverage but without sanitizers.
#
# SECONDS_EACH=60    how long each target runs
source "$(dirname "$0")/env.sh"
become_builder "$@"

version=0.13.2
tools=$root/target/tools
if ! "$tools/bin/cargo-fuzz" --version 2>/dev/null | grep -q " $version$"; then
    say "Building cargo-fuzz $version"
    cargo install --quiet --locked --root "$tools" --version "$version" cargo-fuzz
fi
for target in url_list param; do
    say "Fuzzing $target"
    PATH=$tools/bin:$PATH cargo fuzz run --sanitizer none "$target" -- \
        -dict="fuzz/$target.dict" -max_len=4096 -max_total_time="${SECONDS_EACH:-60}"
done
