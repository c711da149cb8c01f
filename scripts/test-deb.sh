#!/usr/bin/env bash
# Installs the package of deb.sh over an older one, uses and removes it, on a fresh Debian server, by the very commands of
# docs/installing.md. Then the addon's package, on a machine without PostgreSQL.
#
# All that is done in namespaces of its own: /usr, /etc and /var are overlays that are thrown away, /run is empty, and
# there are no other processes and no network. So dpkg, apt, their database and the system's PostgreSQL are the real ones,
# and the machine, its clusters included, has nothing of it. Needs root for that.
#
# OLD_DEB=file    an older package to begin with. Without it, one is made of the new: the scripts of the first release,
#                 with the new library
source "$(dirname "$0")/env.sh"

package=postgresql-$PG-inactive-session-timeout
version=$(sed -n "s/^default_version = '\(.*\)'$/\1/p" "$name.control")

if [ "${1:-}" != inside ]; then
    if [ "$(id -u)" -ne 0 ]; then exec sudo --preserve-env=PG,PG_CONFIG,OLD_DEB "$0"; fi
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    # The servers in it end with it.
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc --net --ipc "$0" inside "$scratch"
    exit
fi

# ---- A fresh server ----

# The commands below must not meet the real directories.
[ "$$" -eq 1 ] || die "this part is run in namespaces of its own"
scratch=$2
mount -t tmpfs tmpfs "$scratch"
for directory in usr etc var; do
    mkdir -p "$scratch/$directory/upper" "$scratch/$directory/work"
    mount -t overlay overlay "/$directory" \
        -o "lowerdir=/$directory,upperdir=$scratch/$directory/upper,workdir=$scratch/$directory/work"
    touch "/$directory/.overlay"
    [ -f "$scratch/$directory/upper/.overlay" ] || die "/$directory is not an overlay"
    rm "/$directory/.overlay"
done
mount -t tmpfs -o mode=755 tmpfs /run # also hides systemd, to which pg_ctlcluster would turn
install -d -o postgres -g postgres -m 2775 /run/postgresql
python3 - <<'END'
import fcntl
import socket
import struct

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
END

# What the machine itself has of PostgreSQL's clusters and of the extension is not seen here.
rm -rf /etc/postgresql/* /var/lib/postgresql/* /var/log/postgresql/*
if dpkg-query -W "$package" >/dev/null 2>&1; then dpkg --purge "$package" >/dev/null; fi
scripts/uninstall.sh
installed_files() { find /usr /etc /var/lib -xdev -path '*inactive*session*timeout*' ! -path '/var/lib/dpkg/*' -not -type d; }
[ -z "$(installed_files)" ] || die "there are files already:" "$(installed_files)"
pg_createcluster "$PG" main --start -- --no-sync >/dev/null

# ---- Packages, old and new ----

mkdir "$scratch/new" "$scratch/old"
chmod 755 "$scratch"
cp "$root/target/deb/$package"_*.deb "$scratch/new"
case $(dpkg-deb -f "$scratch/new/"*.deb Version) in
"$version-1" | "$version~dev-1") ;;
*) die "the package is $(dpkg-deb -f "$scratch/new/"*.deb Version), and the extension $version" ;;
esac
if [ -n "${OLD_DEB:-}" ]; then
    cp "$OLD_DEB" "$scratch/old"
else
    tree=$scratch/tree
    dpkg-deb -R "$scratch/new/"*.deb "$tree"
    extension=$tree/usr/share/postgresql/$PG/extension
    find "$extension" -name "$name--*.sql" ! -name "$name--0.1.0.sql" -delete
    sed -i "s/^default_version = .*/default_version = '0.1.0'/" "$extension/$name.control"
    sed -i 's/^Version: .*/Version: 0.1.0-0/' "$tree/DEBIAN/control"
    rm "$tree/DEBIAN/md5sums"
    dpkg-deb --root-owner-group -b "$tree" "$scratch/old" >/dev/null
fi

# ---- The commands of the docs, block by block ----

export DEBIAN_FRONTEND=noninteractive
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/zz-yes # a person is asked
sudo() {
    if [ "$1" = -u ]; then runuser -u "$2" -- "${@:3}"; else "$@"; fi
}
export -f sudo
awk -v folder="$scratch" '
    /^```/ { in_block = $0 == "```sh"; if (in_block) block++; next }
    in_block { print >(folder "/block" block) }
' docs/installing.md
sed -i -E "s/\b15\b/$PG/g" "$scratch"/block*

# follow NUMBER FOLDER: runs a block in a folder, and puts what it prints into $output
follow() {
    local command
    while read -r command; do say "\$ $command"; done <"$scratch/block$1"
    (cd "$2" && bash -euo pipefail "$scratch/block$1") >"$scratch/output" 2>&1 ||
        die "the docs' commands failed:" "$(cat "$scratch/output")"
    output=$(cat "$scratch/output")
}

# ask DATABASE SQL: the answer, in one line
ask() { sudo -u postgres psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$1" -c "$2" | tr '\n' ' '; }

# expect DATABASE SQL ANSWER
expect() {
    local answer
    answer=$(ask "$1" "$2")
    [ "$answer" = "$3" ] || die "$2" "answered $answer" "and not  $3"
}

# says PATTERN: the last block has printed a line like that
says() { grep -q -E -e "$1" <<<"$output" || die "the docs' commands did not print $1, but:" "$output"; }

follow 1 "$scratch/old"
strays=$(dpkg --listfiles "$package" | while read -r file; do
    if [ -f "$file" ]; then echo "$file"; fi
done | grep -v -E "^/usr/(lib|share)/postgresql/$PG/|^/usr/share/doc/$package/") || true
[ -z "$strays" ] || die "the package puts files where they do not belong:" "$strays"

follow 2 "$scratch"
says '^ t$'
expect shop "SELECT extversion FROM pg_extension WHERE extname = '$name'" "0.1.0 "
activity=$(ask shop "SELECT last_activity FROM session_timeout.peek_session('first')")

follow 3 "$scratch/new"
says "^ $version\$"
says '^ t +\| active$'
expect shop "SELECT last_activity FROM session_timeout.peek_session('first')" "$activity"
expect shop "SET ROLE app; SELECT session_timeout.check_session('first'), session_timeout.check_session('other')" "t|f "

follow 4 "$scratch"
says '^ 30 minutes$'
says '^ +0$'
expect restored "SET ROLE app; SELECT session_timeout.check_session('first')" "f "

follow 5 "$scratch"
says '^ t +\| active$'

follow 6 "$scratch"
[ -z "$(installed_files)" ] || die "removing the package left files:" "$(installed_files)"
if dpkg-query -W "$package" >/dev/null 2>&1; then die "dpkg still knows $package"; fi
expect shop "SELECT count(*) FROM pg_extension" "1 "

say "Installed, upgraded, backed up, restored and removed by the commands of the docs"

# ---- The addon, on Odoo's machine ----

# One that has Python, and nothing else that dpkg knows of.
machine=$scratch/machine
addon=odoo-addon-inactive-session-timeout
folder=$machine/usr/lib/python3/dist-packages/odoo/addons/inactive_session_timeout_pg
mkdir -p "$machine/var/lib/dpkg/info" "$machine/var/lib/dpkg/updates" "$scratch/addon"
cat >"$machine/var/lib/dpkg/status" <<'END'
Package: python3
Status: install ok installed
Maintainer: nobody
Architecture: all
Version: 3.11
Description: stands for Python
END
dpkg_there() {
    dpkg --root="$machine" --log=/dev/null "$@" >"$scratch/output" 2>&1 || die "dpkg $* failed:" "$(cat "$scratch/output")"
}

# An older version, which has a file more.
new=$(echo "$root/target/deb/$addon"_*_all.deb)
tree=$scratch/addon/tree
dpkg-deb -R "$new" "$tree"
sed -i 's/^Version: .*/Version: 0.1.0-0/' "$tree/DEBIAN/control"
touch "$tree${folder#"$machine"}/models/gone.py"
dpkg-deb --root-owner-group -b "$tree" "$scratch/addon/old.deb" >/dev/null
dpkg_there -i "$scratch/addon/old.deb"
[ -f "$folder/models/gone.py" ] || die "the older package has not installed the addon"

dpkg_there -i "$new"
difference=$(diff -r -x LICENSE -x __pycache__ "$root/integrations/odoo/inactive_session_timeout_pg" "$folder") || true
[ -z "$difference" ] || die "the package's addon is not that of the checkout:" "$difference"
[ -f "$machine/usr/share/doc/$addon/docs/odoo.md" ] || die "the package has no page"
dpkg_there --purge "$addon"
left=$(find "$machine" -ipath '*session*timeout*')
[ -z "$left" ] || die "removing the addon's package left files:" "$left"

say "The addon's package was installed over an older one, and removed, without PostgreSQL"
