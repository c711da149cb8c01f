#!/usr/bin/env bash
# Installs the package of deb.sh with dpkg, uses it on a server of its own, and removes it.
#
# All that is done in a mount namespace, in which /usr, /etc and /var are overlays that are thrown away: dpkg, its database
# and the system's PostgreSQL are the real ones, and the machine has nothing of it afterwards. Needs root for that.
source "$(dirname "$0")/env.sh"

package=postgresql-$PG-inactive-session-timeout

if [ "${1:-}" != inside ]; then
    if [ "$(id -u)" -ne 0 ]; then exec sudo --preserve-env=PG,PG_CONFIG "$0"; fi
    overlays=$(mktemp -d)
    trap 'rmdir "$overlays"' EXIT
    unshare --mount --propagation private "$0" inside "$overlays"
    exit
fi

overlays=$2 # here a file system in memory is mounted, for what is written
mount -t tmpfs tmpfs "$overlays"
for directory in usr etc var; do
    mkdir -p "$overlays/$directory/upper" "$overlays/$directory/work"
    mount -t overlay overlay "/$directory" \
        -o "lowerdir=/$directory,upperdir=$overlays/$directory/upper,workdir=$overlays/$directory/work"
done
# What the machine itself may have installed is not seen here.
if dpkg-query -W "$package" >/dev/null 2>&1; then dpkg --purge "$package" >/dev/null; fi
scripts/uninstall.sh 2>/dev/null

installed_files() { find /usr /etc /var/lib -xdev -path '*inactive*session*timeout*' ! -path '/var/lib/dpkg/*' -not -type d; }
[ -z "$(installed_files)" ] || die "there are files already:" "$(installed_files)"

# ---- Install ----

say "Installing the package"
dpkg -i "$root/target/deb/$package"_*.deb
dpkg --verify "$package"
strays=$(dpkg --listfiles "$package" | while read -r file; do
    if [ -f "$file" ]; then echo "$file"; fi
done | grep -v -E "^/usr/(lib|share)/postgresql/$PG/|^/usr/share/doc/$package/") || true
[ -z "$strays" ] || die "the package puts files where they do not belong:" "$strays"

# ---- Use ----

say "Using it on a server of its own"
bindir=/usr/lib/postgresql/$PG/bin
data=$(runuser -u postgres -- mktemp -d /tmp/session-timeout-deb.XXXXXX)
stop() {
    (cd "$data" && as_server "$bindir/pg_ctl" -D data -m immediate stop >/dev/null 2>&1) || true
    rm -rf "$data"
}
trap stop EXIT
(
    cd "$data"
    as_server "$bindir/initdb" -D data -U postgres -A trust --no-sync >/dev/null
    settings="-c listen_addresses='' -c unix_socket_directories='$data' -c fsync=off -c shared_preload_libraries=$name"
    as_server "$bindir/pg_ctl" -D data -l log -o "$settings" -w start >/dev/null
) || die "the server does not start:" "$(cat "$data/log")"

# ask DATABASE SQL: the answer, in one line
ask() { "$bindir/psql" -X -q -A -t -h "$data" -U postgres -v ON_ERROR_STOP=1 -d "$1" <<<"$2" | tr '\n' ' '; }

# expect DATABASE SQL ANSWER
expect() {
    local answer
    answer=$(ask "$1" "$2")
    [ "$answer" = "$3" ] || die "$2" "answered $answer" "and not  $3"
}
version=$(sed -n "s/^default_version = '\(.*\)'$/\1/p" "$name.control")
ask postgres "CREATE DATABASE fresh; CREATE DATABASE old" >/dev/null
ask fresh "CREATE EXTENSION $name" >/dev/null
expect fresh "SELECT extversion FROM pg_extension WHERE extname = '$name'" "$version "
expect fresh "SELECT preloaded FROM session_timeout.stat_session_timeout" "t "
expect fresh "SELECT session_timeout.open_session('sid', 'alice')" " "
expect fresh "SELECT session_timeout.check_session('sid', '/orders'), session_timeout.check_session('other')" "t|f "
expect fresh "SELECT session_timeout.close_session('sid')" "t "
expect fresh "SELECT user_name, kind FROM session_timeout.session_event" "alice|closed "
ask old "CREATE EXTENSION $name VERSION '0.1.0'" >/dev/null
ask old "SELECT session_timeout.open_session('sid')" >/dev/null
ask old "ALTER EXTENSION $name UPDATE" >/dev/null
expect old "SELECT extversion FROM pg_extension WHERE extname = '$name'" "$version "
expect old "SELECT session_timeout.check_session('sid')" "t "

# ---- Remove ----

say "Removing it"
stop
trap - EXIT
dpkg --remove "$package"
[ -z "$(installed_files)" ] || die "removing the package left files:" "$(installed_files)"
if dpkg-query -W "$package" >/dev/null 2>&1; then die "dpkg still knows $package"; fi
say "Installed, used and removed $package"
