#!/usr/bin/env bash
# Makes a private copy of PostgreSQL with the built extension in it, so that demo and tests leave the system's alone,
# and prints the copy's bin directory.
#
# PostgreSQL finds its libraries and files relative to its own executable, so a tree with the same relative places
# works anywhere. The copy is made once for each version of PostgreSQL; the extension is put in at each run.
source "$(dirname "$0")/env.sh"
become_builder "$@"

# target/ where the server's user can reach it. Below /root, say, it cannot: then a directory of ours in /tmp.
reachable_base() {
    local base
    for base in "$root/target" "$(private_fallback)" "$(TMPDIR='' private_fallback)"; do
        mkdir -p "$base"
        # Anybody could have made that name in /tmp.
        if [ ! -O "$base" ] || [ -L "$base" ]; then die "$base belongs to another user" "Remove it."; fi
        if as_server test -r "$base" -a -x "$base"; then
            echo "$base"
            return
        fi
    done
    die "the user that the server runs as can reach neither $root/target nor /tmp"
}

bindir=$("$PG_CONFIG" --bindir)
[ -x "$bindir/postgres" ] || die "there is no server in $bindir" "PG_CONFIG=$PG_CONFIG names a PostgreSQL without one."

base=$(reachable_base)
prefix=$base/pg$server
exec 9>"$base/pg$server.lock" # two runs at once take turns
flock 9
version="$("$PG_CONFIG" --version) $(stat -L -c '%s %Y' "$bindir/postgres") $bindir"

if [ "$(cat "$prefix/complete" 2>/dev/null)" != "$version" ]; then
    say "Copying PostgreSQL $server to $prefix"
    rm -rf "$prefix"
    if is_cached_server; then
        directories=("$servers/$server") # with the libraries that come with it
    else
        directories=("$bindir" "$("$PG_CONFIG" --pkglibdir)" "$("$PG_CONFIG" --sharedir)")
    fi
    for directory in "${directories[@]}"; do
        mkdir -p "$prefix$directory"
        cp -RLp "$directory/." "$prefix$directory"
    done
    # Programs with a loader of their own name it by an absolute path, and the server's user cannot reach that of the cache.
    if is_cached_server && [ -f "$servers/$server/loader" ]; then
        find "$prefix$bindir" -type f \
            -exec patchelf --set-interpreter "$prefix$servers/$server/$(cat "$servers/$server/loader")" {} +
    fi
    echo "$version" >"$prefix/complete"
fi

DESTDIR=$prefix scripts/install.sh
echo "$prefix$bindir"
