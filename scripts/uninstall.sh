#!/usr/bin/env bash
# Removes what install.sh installed from the PostgreSQL of PG or PG_CONFIG, below DESTDIR where that is set.
source "$(dirname "$0")/env.sh"

pkglibdir=${DESTDIR:-}$("$PG_CONFIG" --pkglibdir)
extensiondir=${DESTDIR:-}$("$PG_CONFIG" --sharedir)/extension

for directory in "$pkglibdir" "$extensiondir"; do
    [ ! -d "$directory" ] || [ -w "$directory" ] || die "no permission to write to $directory" \
        "Try again as its owner: sudo make uninstall PG_CONFIG=$PG_CONFIG"
done

rm -f "$pkglibdir/$name.so" "$extensiondir/$name.control" "$extensiondir/$name"--*.sql
say "Removed $name from $pkglibdir and $extensiondir"
