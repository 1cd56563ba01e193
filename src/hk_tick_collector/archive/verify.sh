#!/bin/sh
# Checks this archive with ssh-keygen and sha256sum (coreutils) and nothing else.
#
#   sh verify.sh                          every day
#   sh verify.sh 2026-11-20 2026-11-21    these days, and the order of all certificates
#   SIGNERS=/safe/allowed_signers sh verify.sh
#
# The file allowed_signers beside this script could have been replaced together with the rest: keep a copy elsewhere and
# name it with SIGNERS. Exit code 0: everything is as it was signed; 1: something is not; 2: wrong usage.
set -u
LC_ALL=C
export LC_ALL

case ${SIGNERS:-} in
    "") signers=allowed_signers ;;
    /*) signers=$SIGNERS ;;
    *) signers=$PWD/$SIGNERS ;;
esac
case $0 in */*) cd -- "${0%/*}" || exit 2 ;; esac

bad=0
checked=0
newest=0
# Names and lines of the archive could hold bytes that control a terminal.
shown() { printf '%s' "$*" | tr -c '[:print:]\n' '?'; }
wrong() { printf 'WRONG  %s\n' "$(shown "$*")"; bad=$((bad + 1)); }
# A directory that cannot be listed would look empty: no pattern matches a name in it.
listed() { [ -x "$1" ] && ls -A -- "$1" >/dev/null 2>&1; }

for each in ssh-keygen sha256sum tr ls; do
    command -v "$each" >/dev/null || { printf 'verify.sh: there is no %s: install openssh-client and coreutils\n' "$each" >&2; exit 2; }
done
[ -r "$signers" ] || { printf 'verify.sh: there is no file %s\n' "$signers" >&2; exit 2; }
for day in "$@"; do
    case $day in
        [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) ;;
        *) printf 'verify.sh: %s is not a day like 2026-11-20\n' "$day" >&2; exit 2 ;;
    esac
    [ -e "certificates/$day.txt" ] || wrong "$day: there is no certificate certificates/$day.txt"
done

for each in certificates _superseded _superseded/* _superseded/*/certificates ticks books; do
    [ ! -d "$each" ] || listed "$each" || wrong "the directory $each cannot be listed"
done

# The figures of a certificate: number, previous, day, verdict.
figures() {
    number='' previous='' day='' verdict=''
    while IFS= read -r line; do
        case $line in
            '# number: '*) number=${line#'# number: '} ;;
            '# previous: '*) previous=${line#'# previous: '} ;;
            '# day: '*) day=${line#'# day: '} ;;
            '# verdict: '*) verdict=${line#'# verdict: '} ;;
        esac
    done <"$1"
    case $number in '' | 0* | *[!0-9]* | ??????????*) return 1 ;; esac
    case $previous in none) ;; '' | *[!0-9a-f]*) return 1 ;; esac
    case $day in [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) ;; *) return 1 ;; esac
    case ${1##*/} in "$day.txt") ;; *) return 1 ;; esac
    case $verdict in complete | gaps_known | not_provable) ;; *) return 1 ;; esac
}

# 1. The signatures and files of the days.
check_day() {
    if ! ssh-keygen -Y verify -f "$signers" -I hk-tick-collector -n certificate@hk-tick-collector \
        -s "$1.sig" <"$1" >/dev/null 2>&1; then
        wrong "$day: the signature of $1 is not valid, or not by a key of ${SIGNERS:-allowed_signers}"
    elif ! lines=$(sha256sum -c --quiet --strict "$1" 2>&1); then
        wrong "$day: $lines"
    elif alone "$1"; then
        printf 'right  %s  %s\n' "$day" "$verdict"
        checked=$((checked + 1))
    fi
}

# A certificate in _superseded/ was replaced: one with a higher number must be in force.
check_replaced() {
    replaced=$number
    if [ -f "certificates/$day.txt" ]; then
        figures "certificates/$day.txt" || return  # it is named itself
        [ "$number" -lt "$replaced" ] || return
    fi
    name=${1##*/}
    wrong "${name%.txt}: its certificate, number $replaced, lies in _superseded/ and no newer one is in force"
}

# Whether the directory of the ticks has only the files of the certificate: readers take every file there.
alone() {
    listed "ticks/date=$day" || { wrong "$day: the directory ticks/date=$day cannot be listed"; return 1; }
    files=' '
    while IFS= read -r line; do
        case $line in '#'*) ;; *'  '*) files="$files${line#*  } " ;; esac
    done <"$1"
    for each in "ticks/date=$day/"*; do
        case "$files" in *" $each "*) continue ;; esac
        [ ! -e "$each" ] || { wrong "$day: $each is not in the certificate, and doubles the day for readers"; return 1; }
    done
}

# 2. The order of the certificates: each names the hash of the one before it. Those of replaced days belong to it.
set -- "$@" --
sums=$(for each in certificates/*.txt _superseded/*/certificates/*.txt; do [ ! -f "$each" ] || sha256sum "$each"; done)
while read -r sum file; do
    [ -n "$file" ] || continue
    if ! figures "$file"; then
        wrong "$file is not a certificate, or is damaged"
        continue
    fi
    eval "taken=\${sum_$number:-}"
    [ -z "$taken" ] || wrong "$day: there is another certificate with its number $number"
    eval "sum_$number=\$sum previous_$number=\$previous day_$number=\$day"
    [ "$number" -le "$newest" ] || newest=$number
    case $file in _superseded/*) check_replaced "$file"; continue ;; esac
    case " $* " in " -- " | *" $day "*) check_day "$file" ;; esac
done <<END
$sums
END

# 3. Files of days without a certificate: readers take every file below ticks/.
if [ "$*" = -- ]; then
    for each in ticks/* books/*; do
        day=${each#ticks/date=}
        day=${day#books/}
        day=${day%.db}
        [ -e "$each" ] && [ "$each" != ticks/_delta_log ] && [ ! -f "certificates/$day.txt" ] || continue
        [ -d "$each" ] && listed "$each" && [ -z "$(ls -A -- "$each")" ] || wrong "$each has no certificate, and readers of the directory take it"
    done
fi

number=1
before=none
missing=0
while [ "$number" -le "$newest" ]; do
    eval "sum=\${sum_$number:-} previous=\${previous_$number:-} day=\${day_$number:-}"
    if [ -z "$sum" ]; then
        wrong "certificate number $number is missing"
        before=
        missing=$((missing + 1))
        [ "$missing" -lt 20 ] || { wrong "more certificates are missing, up to number $newest"; break; }
    else
        [ -z "$before" ] || [ "$previous" = "$before" ] ||
            wrong "$day: it was not made after the certificate that is now before it"
        before=$sum
    fi
    number=$((number + 1))
done

if [ "$newest" -gt 0 ] && [ -n "$before" ]; then
    printf 'The newest certificate is number %s, of %s, SHA-256 %s.\n' "$newest" "$day" "$before"
    printf 'Compare it with what was published: that later ones were cut off does not show here.\n'
fi
[ "$newest" -gt 0 ] || wrong "there is no certificate here"
if [ "$bad" -gt 0 ]; then
    printf 'as they were signed: %s; faults: %s\n' "$checked" "$bad"
    exit 1
fi
printf 'as they were signed: %s\n' "$checked"
