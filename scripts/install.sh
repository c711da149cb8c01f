#!/usr/bin/env bash
# Installs what build.sh built into the PostgreSQL of PG or PG_CONFIG, below DESTDIR where that is set.
source "$(dirname "$0")/env.sh"

if is_cached_server && [ -z "${DESTDIR:-}" ]; then
    die "PostgreSQL $server is not installed on this machine" \
        "What build and tests use is a copy of their own. Install it, or name another: PG_CONFIG=/path/to/pg_config"
fi

pkglibdir=${DESTDIR:-}$("$PG_CONFIG" --pkglibdir)
extensiondir=${DESTDIR:-}$("$PG_CONFIG" --sharedir)/extension

[ -f "$library" ] || die "there is no $library" "Build it first: make build"

for directory in "$pkglibdir" "$extensiondir"; do
    install -d "$directory" 2>/dev/null || true
    [ -w "$directory" ] || die "no permission to write to $directory" \
        "Try again as its owner: sudo make install PG_CONFIG=$PG_CONFIG"
done

# install(1) puts a new file in the place of the old one, so that a running server keeps the one that it has mapped.
cmp -s "$library" "$pkglibdir/$name.so" || install -m 755 "$library" "$pkglibdir/$name.so"
install -m 644 "$name.control" sql/"$name"--*.sql "$extensiondir"
say "Installed $name into $pkglibdir and $extensiondir"
