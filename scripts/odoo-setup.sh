#!/usr/bin/env bash
# Unpacks Odoo 19 (Debian's package) with a Python environment into target/odoo, and leaves the machine alone, but for
# Debian's chromium and python3-venv, which it installs where they are missing. Says nothing where everything is there.
#
#   target/odoo/run [command] [option…]    then starts it
source "$(dirname "$0")/env.sh"
become_builder "$@"

requirements=$root/integrations/odoo/requirements.txt
community=$root/integrations/odoo/community.txt
odoo=$root/target/odoo
# Most of Odoo is applications that nobody needs here. The last two lines are point_of_sale and what it needs.
addons=(api_doc auth_passkey auth_signup auth_timeout auth_totp auth_totp_mail base base_import base_import_module
    base_install_request base_setup bus google_gmail html_editor iap iap_mail mail mail_bot microsoft_outlook
    partner_autocomplete phone_validation privacy_lookup rpc sms snailmail test_http web web_tour web_unsplash
    account analytic barcodes barcodes_gs1_nomenclature base_vat digest google_address_autocomplete http_routing iot_base
    onboarding point_of_sale portal product resource stock stock_account uom)

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v chromium >/dev/null || missing+=(chromium)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || die "missing: ${missing[*]} (Debian's names)"
    say "Installing ${missing[*]} with apt"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

contents() { cat "$requirements" "$community" && echo "${addons[@]}"; }
if contents | cmp -s - "$odoo/complete" && [ "$(cat "$odoo/place" 2>/dev/null)" = "$odoo" ]; then exit; fi

say "Unpacking Odoo 19 into target/odoo (about a minute, 600 MB)"
rm -rf "$odoo"
mkdir -p "$odoo"/{apt/lists/partial,apt/cache/archives/partial,packages,root}
cd "$odoo"

# Debian carries Odoo 19 in a newer suite than the one this machine may run. It is read from the mirror that this
# machine already uses, with package lists of our own: apt itself does not see it.
mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null) || true
[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" && / main/ {for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) {print $i; exit}}' \
    /etc/apt/sources.list 2>/dev/null) || true
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} sid main" >apt/sources.list
apt=(-qq -o "APT::Sandbox::User=$(id -un)" -o "Dir::Etc::SourceList=$odoo/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$odoo/apt/lists" -o "Dir::Cache=$odoo/apt/cache" -o Acquire::Languages=none)
apt-get "${apt[@]}" update
# Fonts and scripts that Odoo's package links to. Two come from this machine's suite: the newer font-awesome has lost the
# paths that Odoo links to.
(cd packages && apt-get "${apt[@]}" download odoo-19 libjs-jquery libjs-underscore fonts-montserrat fonts-roboto-unhinted)
(cd packages && apt-get -qq -o "APT::Sandbox::User=$(id -un)" download fonts-font-awesome libjs-jquery-form)

modules=./usr/lib/python3/dist-packages/odoo
dpkg-deb --fsys-tarfile packages/odoo-19_*.deb >packages/odoo.tar
tar -xf packages/odoo.tar -C root --exclude='*/i18n' --exclude="$modules/addons" "$modules"
tar -xf packages/odoo.tar -C root --exclude='*/i18n' "${addons[@]/#/$modules/addons/}"
# Every manifest is needed: base's own data refers to them.
tar -xf packages/odoo.tar -C root --no-wildcards-match-slash --wildcards \
    "$modules/addons/*/__manifest__.py" "$modules/addons/*/__init__.py"
rm packages/odoo.tar
# The account addon looks for models in every localization, and takes a missing package, but not one without its files.
for init in "root/$modules"/addons/l10n_*/__init__.py; do : >"$init"; done
for package in packages/lib*.deb packages/fonts*.deb; do dpkg -x "$package" root; done
# Debian leaves this file out; the web client's tests fail without it.
segmentation=root/$modules/addons/mail/static/lib/selfie_segmentation
mkdir -p "$segmentation"
echo '/* not shipped by Debian */' >"$segmentation/selfie_segmentation.js"

python3 -m venv python
python/bin/pip install -q --disable-pip-version-check -r "$requirements"
python/bin/pip install -q --disable-pip-version-check --no-deps --target community -r "$community"

cat >run <<END
#!/bin/sh
command=server
case "\${1:-}" in [a-z]*) command=\$1 && shift ;; esac
PYTHONPATH='$odoo/root/usr/lib/python3/dist-packages' exec '$odoo/python/bin/python' -m odoo "\$command" \\
    --addons-path '$odoo/root/usr/lib/python3/dist-packages/odoo/addons,$root/integrations/odoo,$root/integrations/odoo/bench,$odoo/community/odoo/addons' \\
    --data-dir "\${ODOO_DATA:-$odoo/data}" "\$@"
END
chmod +x run
echo "$odoo" >place
contents >complete
