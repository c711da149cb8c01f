#!/usr/bin/env bash
# Removes everything that the other scripts made, but for packages that setup.sh installed.
source "$(dirname "$0")/env.sh"

scripts/demo.sh stop
rm -rf "$(private_fallback)" "$(TMPDIR='' private_fallback)" target fuzz/target
