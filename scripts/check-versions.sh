#!/usr/bin/env bash
# Checks what a release rests on: one version everywhere, one list of PostgreSQL's major versions, and install and upgrade
# scripts of released versions as they were released. docs/release.md says what to do, and when. Called by lint.sh.
source "$(dirname "$0")/env.sh"

sums=sql/released.sha256
problems=0

problem() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    problems=$((problems + 1))
}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || die "there is no version in [workspace.package] of Cargo.toml"

# expect WHERE FOUND: what stands somewhere is the version of Cargo.toml
expect() {
    [ "$2" = "$version" ] || problem "$1 says ${2:-nothing}, and Cargo.toml says $version"
}

expect "default_version in $name.control" "$(sed -n "s/^default_version = '\(.*\)'$/\1/p" "$name.control")"
expect "the first heading of CHANGELOG.md" "$(sed -n 's/^## \[\(.*\)\].*/\1/p' CHANGELOG.md | head -n 1)"
expect "extension_sql_file! in src/lib.rs" "$(sed -n "s/^extension_sql_file!(\"..\/sql\/$name--\(.*\)\.sql\",.*/\1/p" src/lib.rs)"
meta() { python3 -c "import json; m = json.load(open('META.json')); print($1)"; }
expect "version in META.json" "$(meta "m['version']")"
expect "provides.version in META.json" "$(meta "m['provides']['$name']['version']")"
script=$(meta "m['provides']['$name']['file']")
[ "$script" = "sql/$name--$version.sql" ] || problem "META.json names $script, and not sql/$name--$version.sql"
status=unstable
if grep -q "^## \[$version\] - [0-9]" CHANGELOG.md; then status=stable; fi
[ "$(meta "m['release_status']")" = "$status" ] ||
    problem "release_status in META.json is not $status, though CHANGELOG.md says whether $version is released"

# ---- Versions of PostgreSQL: the list of env.sh ----

first=${supported[0]} last=${supported[-1]}
features=$(sed -n 's/^pg\([0-9]*\) = .*/\1/p' Cargo.toml | xargs)
[ "$features" = "${supported[*]}" ] || problem "Cargo.toml has features for $features, and scripts/env.sh supports ${supported[*]}"
for page in README.md docs/installing.md; do
    grep -q "PostgreSQL $first to $last" "$page" || problem "$page does not say \"PostgreSQL $first to $last\""
done
matrix=$(sed -n 's/^ *pg: \[\([0-9, ]*\)\].*/\1/p' .github/workflows/release.yml | tr -d ,)
[ "$matrix" = "${supported[*]}" ] || problem "release.yml builds packages for $matrix, and scripts/env.sh supports ${supported[*]}"
least=$(meta "m['prereqs']['runtime']['requires']['PostgreSQL']")
[ "$least" = "$first.0.0" ] || problem "META.json requires PostgreSQL $least, and scripts/env.sh supports ${supported[*]}"
for major in "${supported[@]:1}"; do
    grep -q "^pg$major = \[\"pgrx/pg$major\", \"since$major\"\]" Cargo.toml || problem "pg$major in Cargo.toml does not set since$major"
    grep -q "^ *$major\b.*)" scripts/server.sh || problem "scripts/server.sh does not say where to get PostgreSQL $major from"
    grep -Eq "SERVERS=\"([^\"]* )?$major(-assert)?[ \"]" .ci/run || problem ".ci/run does not test PostgreSQL $major"
    if [ "$major" != "${supported[1]}" ]; then
        grep -q "^since$major = \[\"since$((major - 1))\"\]" Cargo.toml || problem "since$major in Cargo.toml does not set since$((major - 1))"
    fi
done
grep -q "a major version of PostgreSQL, $first to $last," Makefile || problem "the Makefile does not say \"$first to $last\""

[ -f "sql/$name--$version.sql" ] || problem "there is no sql/$name--$version.sql"

# ---- Released scripts ----

# Versions with a date in CHANGELOG.md, oldest first: each has its line in the list, and so has each step to it.
mapfile -t released < <(sed -n 's/^## \[\(.*\)\] - [0-9-]*$/\1/p' CHANGELOG.md | sort -V)
mapfile -t listed < <(sed -n 's/^[0-9a-f]\{64\}  //p' "$sums")

is_listed() { printf '%s\n' "${listed[@]}" | grep -q -x -F "$1"; }

frozen=()
previous=
for release in "${released[@]}"; do
    frozen+=("$name--$release.sql")
    if [ -n "$previous" ]; then frozen+=("$name--$previous--$release.sql"); fi
    previous=$release
done
for script in "${frozen[@]}"; do
    is_listed "$script" || problem "$sums has no line for $script, though CHANGELOG.md says when it was released" \
        "In sql/: sha256sum $script >>released.sha256"
done
for script in "${listed[@]}"; do
    printf '%s\n' "${frozen[@]}" | grep -q -x -F "$script" ||
        problem "$sums lists $script, which CHANGELOG.md does not say is released"
done

if ! changed=$(cd sql && sha256sum --check --quiet released.sha256 2>&1); then
    problem "a released script was changed:" "$changed" \
        "It has been installed as it was, and nobody's database changes with the file. Restore it, and write the change" \
        "into the script of the version under development, and into the upgrade script to it: docs/release.md."
fi

# ---- Ways to the newest version ----

if [ "$previous" != "$version" ]; then
    if [ ! -f "sql/$name--$previous--$version.sql" ]; then
        problem "there is no sql/$name--$previous--$version.sql: who has $previous cannot come to $version"
    fi
fi

[ "$problems" -eq 0 ] || exit 1
