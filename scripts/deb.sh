#!/usr/bin/env bash
# Makes a Debian package of what build.sh built, for the PostgreSQL of PG: target/deb/postgresql-$PG-….deb, and one of the
# addon for Odoo, whatever PG is: target/deb/odoo-addon-….deb. Lets lintian look at them. The packaging is in
# packaging/debian; it works on a tree of its own, target/deb/pg$PG.
#
# DEBFULLNAME, DEBEMAIL    who makes it; else as git is configured, else the user
source "$(dirname "$0")/env.sh"
become_builder "$@"

bindir=$("$PG_CONFIG" --bindir)
[ "$bindir" = "/usr/lib/postgresql/$PG/bin" ] ||
    die "PG_CONFIG is not of a Debian package" "Its programs are in $bindir, not in /usr/lib/postgresql/$PG/bin."

# Not for Debian's archive, so no bug report asks for it.
suppressed=initial-upload-closes-no-bugs
email=${DEBEMAIL:-$(git config user.email || true)}
if [ -z "$email" ]; then
    # Nobody has said: then it is whoever builds, at this machine, which lintian holds against a package.
    email=$(id -un)@$(hostname)
    suppressed+=,bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact
fi
maintainer="${DEBFULLNAME:-$(git config user.name || id -un)} <$email>"
package=postgresql-$PG-inactive-session-timeout
addon=odoo-addon-inactive-session-timeout

tree=$root/target/deb/pg$PG
rm -rf "$tree" "$root/target/deb/$package"_*.deb "$root/target/deb/$addon"_*.deb
mkdir -p "$tree"
cp -R packaging/debian README.md SECURITY.md CHANGELOG.md docs monitoring integrations/odoo/inactive_session_timeout_pg "$tree"
control=$(<packaging/debian/control.in)
control=${control//@PG@/"$PG"}
control=${control//@MAINTAINER@/"$maintainer"} # which may have any characters
printf '%s\n' "$control" >"$tree/debian/control"
rm "$tree/debian/control.in"

# One entry a version. A version under development comes before its release: ~dev.
entry() {
    cat <<END
inactive-session-timeout ($1) unstable; urgency=medium

  * See changelog.gz beside this file.

 -- $maintainer  $(date --utc --rfc-email --date "$2")

END
}
now=$(git log -1 --format=%cI 2>/dev/null || date --iso-8601=seconds)
while read -r version released; do
    case $released in
    Unreleased) entry "$version~dev-1" "$now" ;;
    *) entry "$version-1" "$released" ;;
    esac
done < <(sed -n 's/^## \[\(.*\)\] - \(.*\)$/\1 \2/p' CHANGELOG.md) >"$tree/debian/changelog"

say "Listing the licences of what is linked in"
PGRX_PG_CONFIG_PATH=$PG_CONFIG cargo tree --locked -p "$name" --no-default-features --features "pg$PG" \
    -e normal,no-proc-macro --prefix none -f '{p}' | scripts/third-party.py >"$tree/third-party-licences.txt"

say "Building the packages"
# Without dpkg-buildpackage nobody tells debhelper what the control file says: that the build needs no root.
(cd "$tree" && CHECKOUT=$root DEB_RULES_REQUIRES_ROOT=no DH_QUIET=1 dh binary >debhelper.log 2>&1) || die "debhelper failed:" "$(cat "$tree/debhelper.log")"
debs=("$root/target/deb/$package"_*.deb "$root/target/deb/$addon"_*.deb)

say "lintian"
lintian --allow-root --fail-on error,warning --suppress-tags "$suppressed" "${debs[@]}"
say "Made ${debs[*]}"
