#!/usr/bin/env bash
# Checks the length of the pages: README.md has fewer than 200 lines, each page of docs/ fewer than 400, and all pages
# together fewer than 20,000 words.
#
# Words are what `wc -w` counts, except for what has neither a letter nor a digit, such as the bars of tables. Code counts.
# What stands between <!-- generated … --> and <!-- end of generated --> does not.
set -euo pipefail
cd "$(dirname "$0")/.."

readme_lines=200
page_lines=400
all_words=20000

words() {
    awk '
        /^<!-- generated/ { generated = 1 }
        /^<!-- end of generated/ { generated = 0 }
        !generated { for (i = 1; i <= NF; i++) if ($i ~ /[[:alnum:]]/) words++ }
        END { print words + 0 }
    ' "$1"
}

failed=0
total=0
report=
for page in README.md CONTRIBUTING.md SECURITY.md docs/*.md monitoring/README.md; do
    lines=$(wc -l <"$page")
    words=$(words "$page")
    total=$((total + words))
    most=
    case $page in
        README.md) most=$readme_lines ;;
        docs/*) most=$page_lines ;;
    esac
    note=
    if [ -n "$most" ] && [ "$lines" -ge "$most" ]; then
        note="  fewer than $most lines are allowed"
        failed=1
    fi
    report+=$(printf '%6d lines %6d words  %s%s' "$lines" "$words" "$page" "$note")$'\n'
done
if [ "$total" -ge $all_words ]; then
    failed=1
fi
if [ $failed -ne 0 ]; then
    printf 'The pages are too long:\n%s%19d words in all; fewer than %d are allowed\n' "$report" "$total" "$all_words" >&2
fi
exit $failed
