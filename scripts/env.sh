# shellcheck shell=bash
# Sourced by the other scripts: where things are, and who does what. Sets
#   root       the checkout, which becomes the current directory
#   PG         the major version of PostgreSQL (PG=15 unless given, or as PG_CONFIG says)
#   PG_CONFIG  its pg_config (/usr/lib/postgresql/$PG/bin/pg_config unless given)

set -euo pipefail
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
# shellcheck disable=SC2034 # used by those that source this
name=inactive_session_timeout

say() { printf '==> %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# make passes variables that were not given as empty ones.
pg_config_given=${PG_CONFIG:-}
if [ -n "$pg_config_given" ]; then
    PG_CONFIG=$(command -v "$pg_config_given") || die "there is no $pg_config_given (from PG_CONFIG)"
    PG_CONFIG=$(realpath -s "$PG_CONFIG")
    PG=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
else
    PG=${PG:-15}
    PG_CONFIG=/usr/lib/postgresql/$PG/bin/pg_config
fi
case $PG in
14 | 15 | 16 | 17 | 18) ;;
*) die "PostgreSQL $PG is not supported" "Supported are 14 to 18: make PG=15, or PG_CONFIG=/path/to/pg_config" ;;
esac
export PG PG_CONFIG

# Where rustup puts cargo, for shells that have not read its profile.
if ! command -v cargo >/dev/null && [ -x "${HOME:-}/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi

# Where prefix.sh goes when the server's user cannot reach target/: a name for this checkout.
private_fallback() { echo "${TMPDIR:-/tmp}/$name-$(printf '%s' "$root" | sha256sum | cut -c 1-12)"; }

# PostgreSQL refuses to run as root.
as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

# `sudo make …`: cargo, and the files under target/, are those of the user who called sudo.
called_by_sudo() {
    [ "$(id -u)" -eq 0 ] && [ "${SUDO_USER:-root}" != root ] && [ "$(stat -c %U "$root")" = "$SUDO_USER" ]
}
become_builder() {
    if called_by_sudo; then
        exec sudo -u "$SUDO_USER" -H --preserve-env=PG,PG_CONFIG,CARGO_TARGET_DIR,DESTDIR,KEEP,SOAK,QUICK,SMOKE "$0" "$@"
    fi
}
