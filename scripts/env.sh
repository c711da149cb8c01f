# shellcheck shell=bash
# Sourced by the other scripts: where things are, and who does what. Sets
#   root       the checkout, which becomes the current directory
#   server     which PostgreSQL: a major version, 17-assert, or one of the user's own (PG or PG_CONFIG; unless given, the
#              one that is installed, and 15 if there is none, or several)
#   PG         its major version
#   PG_CONFIG  its pg_config: the one given; else the system's where that is installed; else, for those that server.sh
#              can make, the cache's; else where apt will install it
#   library    the extension's library, built for it

set -euo pipefail
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
# shellcheck disable=SC2034 # used by those that source this
name=inactive_session_timeout

# The major versions of PostgreSQL that are supported: the list that every other one is made from, or compared with by
# check-versions.sh.
supported=(15 16 17 18 19)

say() { printf '==> %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# `sudo make …`: cargo, and the files under target/, are those of the user who called sudo.
called_by_sudo() {
    [ "$(id -u)" -eq 0 ] && [ "${SUDO_USER:-root}" != root ] && [ "$(stat -c %U "$root")" = "$SUDO_USER" ]
}

# Servers that are only for build and tests, made by server.sh and shared by all checkouts.
if called_by_sudo; then
    cache=$(getent passwd "$SUDO_USER" | cut -d : -f 6)/.cache
else
    cache=${XDG_CACHE_HOME:-${HOME:-$root/target}/.cache}
fi
servers=$(realpath -m "$cache/$name/servers")

is_supported() { [[ " ${supported[*]} " == *" $1 "* ]]; }

# The major version of the one supported server that the system has; 15 if it has none, or several.
default_version() {
    local installed=() version
    for version in "${supported[@]}"; do
        if [ -x "/usr/lib/postgresql/$version/bin/postgres" ]; then installed+=("$version"); fi
    done
    if [ "${#installed[@]}" -eq 1 ]; then echo "${installed[0]}"; else echo 15; fi
}

# make passes variables that were not given as empty ones.
pg_config_given=${PG_CONFIG:-}
if [[ $pg_config_given == "$servers"/* ]]; then # one script has called another
    server=${pg_config_given#"$servers/"} server=${server%%/*}
    PG=${server%-assert}
elif [ -n "$pg_config_given" ]; then
    PG_CONFIG=$(command -v "$pg_config_given") || die "there is no $pg_config_given (from PG_CONFIG)"
    PG_CONFIG=$(realpath -s "$PG_CONFIG")
    PG=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
    if [ "$PG_CONFIG" = "/usr/lib/postgresql/$PG/bin/pg_config" ]; then
        server=$PG
    else
        server=$PG-$(printf '%s' "$PG_CONFIG" | sha256sum | cut -c 1-8)
    fi
else
    server=${PG:-$(default_version)}
    PG=$server
    PG_CONFIG=/usr/lib/postgresql/$PG/bin/pg_config
    if [ "$server" = 17-assert ]; then
        PG=17 PG_CONFIG=$servers/$server/usr/local/bin/pg_config
    elif [ "$server" != 15 ] && is_supported "$server" && [ ! -x "${PG_CONFIG%/*}/postgres" ]; then
        # Those of Debian's packages keep the places that these give them.
        if [ "$server" = 19 ]; then PG_CONFIG=$servers/$server$PG_CONFIG; else PG_CONFIG=$servers/$server/usr/local/bin/pg_config; fi
    fi
fi
is_supported "$PG" ||
    die "PostgreSQL $PG is not supported" \
        "Supported are ${supported[*]}, and 17-assert: make PG=15, or PG_CONFIG=/path/to/pg_config"
export PG PG_CONFIG

# One line for people: the version, and whose it is.
describe_server() {
    local whose="of ${PG_CONFIG%/pg_config}"
    if is_cached_server; then whose="of $(cat "$servers/$server/origin")"; fi
    echo "$("$PG_CONFIG" --version) $whose"
}

is_cached_server() { [[ $PG_CONFIG == "$servers"/* ]]; }

# cargo's own place is that of 15; each of the others has one, so that nothing is built twice for the change from one to
# the other.
build_directory=${CARGO_TARGET_DIR:-$root/target}
if [ "$server" != 15 ]; then build_directory+=/build/pg$server; fi
# shellcheck disable=SC2034
library=$build_directory/release/lib$name.so

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

# start_server BINDIR DIRECTORY: a throwaway server of the user postgres, which preloads the library, with its data, log and
# socket in the directory. Quiet where it succeeds.
start_server() {
    local bindir=$1 directory=$2 settings
    if [ "$(id -u)" -eq 0 ]; then chown -R postgres: "$directory"; fi
    server_program() {
        (cd "$directory" && as_server "$bindir/$1" "${@:2}" >"$directory/output" 2>&1) ||
            die "$1 failed:" "$(cat "$directory/output")"
    }
    server_program initdb -D data -U postgres -A trust -E UTF8 --locale=C --no-sync
    settings="-c listen_addresses='' -c unix_socket_directories='$directory' -c fsync=off"
    settings+=" -c shared_preload_libraries=$name -c session_timeout.naptime=1"
    server_program pg_ctl -D "$directory/data" -l log -o "$settings" -w start
}

# Scripts that write under target/ begin with this.
become_builder() {
    if called_by_sudo; then
        exec sudo -u "$SUDO_USER" -H --preserve-env=PG,PG_CONFIG,CARGO_TARGET_DIR,DESTDIR,KEEP,SOAK,QUICK,PARTS,SMOKE,SERVERS,SHORT,SEED,THEME,ROUNDS,EXCEPT "$0" "$@"
    fi
}
