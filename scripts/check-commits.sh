#!/usr/bin/env bash
# Checks the messages of commits: an imperative subject of at most 72 characters without a full stop, an empty line, and a
# body that says why.
#
# check-commits.sh FILE     one message, as git hands it to the commit-msg hook (`make hooks` sets that up)
# check-commits.sh          every commit since this script exists
set -euo pipefail
cd "$(dirname "$0")/.."

longest=72
failed=0

# complain NAME WHAT
complain() {
    printf '%s: %s\n' "$1" "$2" >&2
    failed=1
}

# check NAME, with the message on standard input
check() {
    local name=$1 subject='' second='' body='' line n=0
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            '# ------------------------ >8 ------------------------') break ;; # what `git commit -v` shows below it
            '#'*) continue ;;
        esac
        n=$((n + 1))
        case $n in
            1) subject=$line ;;
            2) second=$line ;;
            *) body+=$line ;;
        esac
    done
    case $subject in
        'Merge '* | 'Revert "'* | 'fixup! '* | 'squash! '*) return ;;
    esac
    [ "${#subject}" -le $longest ] || complain "$name" "the subject has ${#subject} characters, $longest are allowed: $subject"
    [[ $subject != *. ]] || complain "$name" "the subject ends with a full stop: $subject"
    [[ ${subject%% *} =~ ^[A-Z] ]] || complain "$name" "the subject does not begin with a capital letter: $subject"
    # "Added", "Adds", "Adding": English has few imperatives that end so.
    if [[ ${subject%% *} =~ (ing|[^e]ed|[^su]s)$ && ! ${subject%% *} =~ ^(Bring|Embed|Ping|Shed|String|Process|Pass|Compress|Express|Address|Discuss|Focus|Canvas|Alias|Bias)$ ]]; then
        complain "$name" "the subject is not an imperative: $subject"
    fi
    [ -z "$second" ] || complain "$name" "the second line is not empty: $second"
    [ -n "${body//[[:space:]]/}" ] || complain "$name" "the body does not say why: $subject"
}

if [ $# -gt 0 ]; then
    check "commit message" <"$1"
else
    first=$(git log --diff-filter=A --format=%H -- scripts/check-commits.sh | tail -n 1)
    while read -r commit; do
        check "$(git rev-parse --short "$commit")" < <(git log -1 --format=%B "$commit")
    done < <([ -z "$first" ] || git rev-list "$first..HEAD")
fi
exit $failed
