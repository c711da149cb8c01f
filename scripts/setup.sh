#!/usr/bin/env bash
# Installs what is missing to build, test and run: PostgreSQL with its server headers, a C compiler and libclang
# (for pgrx's bindings), by apt; a server that is only for build and tests, by server.sh. Says nothing where everything
# is there. Rust is the user's to install.
#
# setup.sh [lint | test | examples | deb | fuzz | bench]
#    with `lint`, also shellcheck, and Python's venv for lint.sh's other tools; with `test`, also pgbouncer; with
#    `examples`, also Python's venv; with `deb`, also debhelper and lintian; with `fuzz`, also a C++ compiler; with
#    `bench`, also redis-server and valgrind where apt has them
source "$(dirname "$0")/env.sh"

require_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if called_by_sudo; then return; fi # build.sh then builds, where need be, as the user who called sudo
    found=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || true
    if [ -z "$found" ] || ! cargo --version >/dev/null 2>&1; then
        die "Rust is not installed, or cargo and rustc are not in PATH." \
            "Rust $wanted or later is needed: https://rustup.rs"
    fi
    if ! printf '%s\n' "$wanted" "$found" | sort -C -V; then
        die "Rust $wanted or later is needed, and rustc is $found." "With rustup: rustup update stable"
    fi
}

missing_packages() {
    if is_cached_server; then
        if [ "$PG" = 17 ]; then
            command -v bison >/dev/null || echo bison
            command -v flex >/dev/null || echo flex
            command -v perl >/dev/null || echo perl
            [ -f /usr/include/zlib.h ] || echo zlib1g-dev
        elif [ "$PG" = 19 ]; then
            command -v patchelf >/dev/null || echo patchelf
            [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
            [ -d /usr/share/zoneinfo ] || echo tzdata
        else
            python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
        fi
        # Debian's server packages make the user that servers run as; so does this.
        [ "$(id -u)" -ne 0 ] || id postgres >/dev/null 2>&1 || echo postgresql-common
    elif [ -z "$pg_config_given" ]; then
        local bin=/usr/lib/postgresql/$PG/bin
        [ -x "$bin/postgres" ] || echo "postgresql-$PG"
        [ -f "/usr/include/postgresql/$PG/server/postgres.h" ] && [ -x "$bin/pg_config" ] || echo "postgresql-server-dev-$PG"
    fi
    command -v cc >/dev/null || echo gcc libc6-dev
    command -v make >/dev/null || echo make
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib/*/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib*/libclang*.so*' >/dev/null || [ -n "${LIBCLANG_PATH:-}" ] || echo libclang-dev
    if [ "${1:-}" = test ]; then
        [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || echo pgbouncer
    fi
    if [ "${1:-}" = deb ]; then
        command -v dh >/dev/null || echo debhelper
        command -v lintian >/dev/null || echo lintian
    fi
    if [ "${1:-}" = examples ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    fi
    if [ "${1:-}" = fuzz ]; then
        command -v c++ >/dev/null || echo g++ # for libFuzzer
    fi
    if [ "${1:-}" = lint ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
        command -v shellcheck >/dev/null || echo shellcheck
    fi
}

# What makes a benchmark richer; it goes without.
optional_packages() {
    command -v apt-get >/dev/null || return 0
    command -v redis-server >/dev/null || echo redis-server
    command -v valgrind >/dev/null || echo valgrind
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

apt_install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }

# Debian makes and starts a cluster when a server is installed. What is built here has servers of its own, so leave
# the machine without one: switch that off while the package is installed, then put the setting back.
install_server_without_cluster() {
    local conf=/etc/postgresql-common/createcluster.conf
    apt_install postgresql-common
    trap 'if [ -f "'$conf'.before" ]; then as_root mv "'$conf'.before" "'$conf'"; fi' EXIT
    if [ -f "$conf" ]; then
        as_root cp -p "$conf" "$conf.before"
        as_root sed -i -E 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' "$conf"
    fi
    apt_install "postgresql-$PG"
    if [ -f "$conf.before" ]; then as_root mv "$conf.before" "$conf"; fi
}

# Debian starts a service when its package is installed. What is tested here has processes of its own.
install_without_starting() {
    local policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        apt_install "$@"
        return
    fi
    trap 'as_root rm -f "'$policy'"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    apt_install "$@"
    as_root rm -f "$policy"
    trap - EXIT
    if command -v systemctl >/dev/null; then as_root systemctl disable --quiet "$@" 2>/dev/null || true; fi
}

install() {
    local packages=("$@") package found
    command -v apt-get >/dev/null || die "missing: ${packages[*]} (Debian's names)" \
        "There is no apt-get here: install them, or point PG_CONFIG at a PostgreSQL with server headers."
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        die "missing: ${packages[*]}" "Neither root nor sudo is here. As root: apt-get install ${packages[*]}"
    fi
    say "Installing ${packages[*]} with apt"
    as_root apt-get update -q
    for package in "${packages[@]}"; do
        if ! apt-cache show "$package" >/dev/null 2>&1; then
            found=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | cut -d / -f 5 | xargs) || true
            die "apt knows no package $package" ${found:+"Installed is PostgreSQL ${found// /, }: for it, make … PG=${found##* }"} \
                "Add PostgreSQL's own repository (https://apt.postgresql.org), or choose another with PG=… or PG_CONFIG=…"
        fi
    done
    for package in "${packages[@]}"; do
        case $package in
        "postgresql-$PG") install_server_without_cluster ;;
        pgbouncer | redis-server) install_without_starting "$package" ;;
        esac
    done
    apt_install "${packages[@]}"
}

require_rust
mapfile -t packages < <(missing_packages "$@" | tr ' ' '\n')
if [ ${#packages[@]} -gt 0 ]; then install "${packages[@]}"; fi
# For check-monitoring.sh, which takes promtool out of that package.
if [ "${1:-}" = lint ] && ! apt-cache show prometheus >/dev/null 2>&1; then as_root apt-get update -q; fi
if [ "${1:-}" = bench ]; then
    for package in $(optional_packages); do
        (install "$package") || say "Going on without $package"
    done
fi
if is_cached_server; then scripts/server.sh; fi

server_headers=$("$PG_CONFIG" --includedir-server)
if [ ! -f "$server_headers/postgres.h" ]; then
    die "$PG_CONFIG has no server headers in $server_headers" "Install the development package of that PostgreSQL."
fi
