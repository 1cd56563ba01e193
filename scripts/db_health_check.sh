#!/usr/bin/env bash
# The 30-second check of one day file, with nothing but Debian's sqlite3: bash scripts/db_health_check.sh "$DB"
#
# Enters: the path of a YYYYMMDD.db. Leaves: one verdict line that says why and what to type, then the figures behind it.
# Exit 0 OK, 1 WARNING, 2 CRITICAL or wrong usage. It opens the file for reading only, also while the collector writes,
# and never counts ticks: the counters of `symbols`, `gaps` and `ledger` tell all, so a large day takes no longer.
# It cannot ask OpenD. Lag is judged in trading hours by this host's clock, which knows no holiday and no half day, unless
# the service's live state says that the market does not trade. `hk-tick-collector status` knows more.
set -uo pipefail
export LC_ALL=C TZ=Asia/Hong_Kong

# Words of others (OpenD's, a file's, a path's) pass: what a terminal acts on, or shows in another order, becomes a "?".
clean() {
  local line
  while IFS= read -r line || [[ -n $line ]]; do
    line=${line//$'\t'/ }
    line=${line//[[:cntrl:]]/?}
    line=${line//$'\xc2'[$'\x80'-$'\x9f']/?}
    line=${line//$'\xe2\x80'[$'\x8b'-$'\x8f'$'\xa8'-$'\xae']/?}
    line=${line//$'\xe2\x81'[$'\xa0'-$'\xaf']/?}
    printf '%s\n' "${line//$'\xef\xbb\xbf'/?}"
  done
}
exec > >(clean)
cleaner=$!
trap 'code=$?; exec >&-; wait "$cleaner" 2>/dev/null; exit "$code"' EXIT

LAG_WARN_S=60
# Settings of the same names, where the environment has them.
LAG_CRITICAL_S=${LAG_CRITICAL_SEC:-300} LAG_CRITICAL_S=${LAG_CRITICAL_S%.*}
DISK_MIN_FREE_MB=${DISK_MIN_FREE_MB:-2048}
[[ $LAG_CRITICAL_S =~ ^[1-9][0-9]*$ ]] || LAG_CRITICAL_S=300
[[ $DISK_MIN_FREE_MB =~ ^[1-9][0-9]*$ ]] || DISK_MIN_FREE_MB=2048
WAL_LARGE_BYTES=$((250 * 1024 * 1024)) # as `status`, with the default checkpoint length
GAP_LATELY_S=900
FRESH_S=10
APPLICATION_ID=1212896323  # "HKTC", in the header of every day file
RUNTIME_DIRECTORY=/run/hk-tick-collector
JOURNAL="sudo journalctl -u hk-tick-collector --since '10 minutes ago' --no-pager"

WORDS=(OK WARNING CRITICAL)

# finish SEVERITY TEXT REMEDY: the verdict where there is nothing more to look at.
finish() {
  echo "${WORDS[$1]}: $2${3:+ -> $3}"
  exit "$1"
}

worst=0 verdict="" more=0
# found SEVERITY TEXT REMEDY: notes a finding; the worst, and of equals the first, becomes the verdict.
found() {
  if (($1 > worst)); then
    worst=$1 verdict="$2 -> $3"
  fi
  more=$((more + 1))
  findings+=("  ${WORDS[$1]}: $2 -> $3")
}
findings=()

usage() {
  clean <<<"db_health_check.sh: ${1//$'\n'/ }: bash scripts/db_health_check.sh /data/sqlite/HK/YYYYMMDD.db" >&2
  exit 2
}

# at EPOCH_SECOND [FORMAT]: a moment in Hong Kong.
at() { date -d "@$1" "+${2:-%H:%M:%S}"; }

thousands() { sed ':a;s/\B[0-9]\{3\}\>/,&/;ta' <<<"$1"; }

# Whether a collector holds the lock of this DATA_ROOT: the kernel's own list tells, to anybody, and nothing is locked.
collector_runs() {
  local inode
  inode=$(stat -c %i "$directory/.collector.lock" 2>/dev/null) || return 1
  grep -q "FLOCK .* WRITE .*:$inode 0 EOF" /proc/locks
}

# The service's live state for this DATA_ROOT, the newer one of where it may be; nothing where there is none.
live_file() {
  local file newest=""
  for file in "$RUNTIME_DIRECTORY/status.json" "$directory/status.json"; do
    if [[ -r $file && (-z $newest || $file -nt $newest) ]] && grep -qF "\"data_root\":\"$directory\"" "$file"; then
      newest=$file
    fi
  done
  echo "$newest"
}

# For how many seconds the service has not written its live state; 0 where it left none.
live_age() {
  local file
  file=$(live_file)
  [[ -z $file ]] && echo 0 || echo $((now_s - $(stat -c %Y "$file")))
}

# live NAME: true or false from a live state that is fresh; nothing else.
live() {
  local file
  file=$(live_file)
  if [[ -n $file ]] && (($(live_age) <= FRESH_S)); then
    grep -o "\"$1\":\(true\|false\)" "$file" | cut -d: -f2
  fi
}

# Why there is no file, and whether that is as it should be.
no_file() {
  local above=$directory
  while [[ ! -e $above && $above != / ]]; do above=$(dirname "$above"); done
  if [[ $above != "$directory" && -x $above ]]; then
    finish 2 "there is no directory $directory" "check the path and DATA_ROOT: hk-tick-collector config; is its disk mounted?"
  elif [[ ! -x $above ]]; then
    finish 2 "no right to look into $above" "join its group and log in anew: sudo usermod -aG $(stat -c %G "$above") $(id -un)"
  elif [[ -n $copy ]]; then
    finish 1 "there is no snapshot $path" "hk-tick-collector snapshot --day $day"
  elif [[ $day > $today ]]; then
    finish 2 "there is no $path: $day has not come yet" "today is $today in Hong Kong"
  elif (($(date -d "$day" +%u) > 5)); then
    finish 0 "there is no $path and none is expected: $day is a $(date -d "$day" +%A), no trading day"
  elif [[ $day < $today ]]; then
    finish 1 "there is no $path: a holiday, or the collector did not run that day" "ls $directory"
  elif ! collector_runs; then
    finish 2 "there is no $path: no collector runs on $directory" "sudo systemctl start hk-tick-collector"
  elif [[ $(live day_expected) == false ]]; then
    finish 0 "there is no $path and none is expected: by OpenD's calendar $day is no trading day"
  fi
  finish 2 "there is no $path, though a collector runs on $directory" "hk-tick-collector status"
}

# What to type for a file of another program, as `hk-tick-collector status` says it too.
move_away() {
  local db
  db=$(printf %q "$path")
  echo "d=$db.aside-\$(date +%H%M%S); sudo mkdir \$d; for f in $db{-wal,-shm,}; do [ ! -e \$f ] || sudo mv \$f \$d/; done"
}

# What sqlite3 said, as cause and remedy.
explain() {
  case $1 in
    *"not a database"*) finish 2 "$path is no SQLite file" "$(move_away)" ;;
    *malformed* | *corrupt*) finish 2 "$path is damaged" "keep it, see docs/sqlite-wal.md" ;;
    *locked* | *busy*) finish 2 "$path stays locked" "lsof $path names the process that holds it" ;;
    *"no such table"* | *"no such column"*)
      finish 2 "$path has another schema (${1##*: })" "use the scripts of the version that wrote it" ;;
    *"unable to open"* | *readonly*)
      finish 2 "sqlite3 cannot open $path" "ls -l $path*: a WAL without its -shm needs the collector started, or sudo" ;;
    *"I/O error"*) finish 2 "$path cannot be read from its disk" "sudo dmesg | tail" ;;
  esac
  finish 2 "sqlite3 cannot read $path (${1//$'\n'/ })" "hk-tick-collector status"
}

# Everything that is asked of the file, of one moment. Counters alone. What is calculated with must be a number, whatever
# file somebody gave us: bash evaluates what stands in an arithmetic expression.
ask() {
  local uri=${path//%/%25}
  uri=${uri//\?/%3f} uri=${uri//#/%23}
  sqlite3 -batch -bail -init /dev/null -list -separator '|' "file:$uri?mode=ro" 2>&1 <<SQL
.timeout 2000
BEGIN;
SELECT 'application_id', application_id FROM pragma_application_id;
SELECT 'predecessor', sum(name IN ('market', 'symbol', 'ts_ms', 'seq', 'price', 'volume', 'turnover', 'trading_day')) = 8
  FROM pragma_table_info('ticks');
SELECT 'schema', user_version FROM pragma_user_version;
SELECT 'sealed', count(*) FROM meta WHERE key = 'sealed_ms';
SELECT 'version', replace(value, char(10), ' ') FROM meta WHERE key = 'software_version';
SELECT 'symbols', count(*), ifnull(sum(rows), 0), CAST(ifnull(max(last_ts_ms), 0) AS INTEGER),
       count(expected), ifnull(sum(min(rows, expected)), 0), ifnull(sum(expected), 0)
  FROM symbols;
SELECT 'gaps', count(*), ifnull(sum(missing), 0), count(*) - count(missing), CAST(ifnull(max(opened_ms), 0) AS INTEGER)
  FROM gaps WHERE status = 'open';
SELECT 'ledger', count(*), ifnull(sum(received), 0), ifnull(sum(stored), 0), ifnull(sum(duplicate), 0),
       ifnull(sum(rejected), 0), ifnull(sum(dropped), 0), ifnull(sum(waiting), 0), CAST(ifnull(max(updated_ms), 0) AS INTEGER)
  FROM ledger;
SELECT 'link', connected, CAST(from_ms AS INTEGER), replace(replace(reason, '|', '/'), char(10), ' ')
  FROM connections WHERE to_ms IS NULL ORDER BY from_ms DESC LIMIT 1;
COMMIT;
SELECT 'done';
SQL
}

(($# == 1)) || usage "one day file is needed, $# given"
case $1 in
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
  "") usage "the path is empty" ;;
  *$'\n'*) usage "a path with a line break is no day file" ;;
esac
command -v sqlite3 >/dev/null || finish 2 "there is no sqlite3 on this host" "sudo apt-get install sqlite3"

now_s=$(date +%s)
today=$(at "$now_s" %Y%m%d)
path=$(realpath -ms -- "$1")
directory=$(dirname "$path") name=$(basename "$path")
[[ $name =~ ^([0-9]{8})(\.snapshot)?\.db$ ]] || usage "$1 has not the name of a day file"
day=${BASH_REMATCH[1]} copy=${BASH_REMATCH[2]}
[[ $(date -d "$day" +%Y%m%d 2>/dev/null) == "$day" ]] || usage "$day is no date"

[[ -e $path ]] || no_file
[[ -f $path ]] || finish 2 "$path is no regular file" "name a day file like $directory/$today.db"
[[ -r $path ]] || finish 2 "no right to read $path" "join its group and log in anew: sudo usermod -aG $(stat -c %G "$path") $(id -un)"
[[ -s $path ]] || finish 2 "$path is empty: it was truncated" "see docs/sqlite-wal.md"

answer=$(ask)
declare -A row
while IFS='|' read -r key rest; do row[$key]=$rest; done <<<"$answer"
if [[ -n ${row[application_id]:-} && ${row[application_id]} != "$APPLICATION_ID" ]]; then
  [[ ${row[predecessor]:-} == 1 ]] &&
    finish 1 "$path is a day file of the predecessor" "sudo hk-tick-collector import $(printf %q "$path")"
  finish 2 "$path is another program's database" "$(move_away)"
fi
[[ -v row[done] ]] || explain "$answer"

IFS='|' read -r symbols rows newest_ms patterned rows_patterned expected <<<"${row[symbols]}"
IFS='|' read -r gaps missing unknown gap_ms <<<"${row[gaps]}"
IFS='|' read -r runs received stored duplicate rejected dropped waiting commit_ms <<<"${row[ledger]}"
IFS='|' read -r connected link_ms reason <<<"${row[link]:-1|0|}"
newest_s=$((newest_ms / 1000)) lag_s=$((now_s - newest_ms / 1000))
wal_bytes=$(stat -c %s "$path-wal" 2>/dev/null || echo 0)
free_mb=$(df -P -BM "$directory" | awk 'NR == 2 { print $4 + 0 }')

# The day that is being collected: is someone collecting, and is it current?
judged="not judged: $day is not today" is_live=""
if [[ $day == "$today" && -z $copy ]]; then
  is_live=yes
  hour=$(at "$now_s" %H%M) since_s=0
  ((10#$(at "$now_s" %u) > 5)) || case $hour in
    093? | 09[45]? | 1[01]??) since_s=$(date -d "$day 09:30" +%s) ;;
    1[345]??) since_s=$(date -d "$day 13:00" +%s) ;;
  esac
  judged="judged in 09:30 to 12:00 and 13:00 to 16:00 by this host's clock, which knows no holiday and no half day"
  case $(live trading) in
    true) judged="judged: OpenD says that the market trades" ;;
    false) since_s=0 ;;  # OpenD knows better than the clock
  esac
  if ! collector_runs; then
    found 2 "no collector runs on $directory" "sudo systemctl start hk-tick-collector"
  elif ((silent_s = $(live_age), silent_s > FRESH_S)); then
    found 2 "the collector has not reported for $silent_s s: it hangs" "sudo systemctl restart hk-tick-collector; why: $JOURNAL"
  elif grep -qE '"held_rows":\{"|"writer_trouble":"[a-z]' "$(live_file)" 2>/dev/null; then
    found 2 "ticks wait: the collector cannot write a day file" "hk-tick-collector status"
  elif [[ $connected == 0 ]]; then
    found $((now_s - link_ms / 1000 > 60 ? 2 : 1)) "OpenD is away since $(at $((link_ms / 1000))): $reason" \
      "sudo systemctl status futu-opend --no-pager"
  fi
  if ((since_s)); then
    behind_s=$((now_s - (newest_s > since_s ? newest_s : since_s)))
    text="the newest tick is $((now_s - newest_s)) s old while the market trades"
    ((newest_s)) || text="no tick yet while the market trades"
    if ((behind_s > LAG_CRITICAL_S)); then
      found 2 "$text" "$JOURNAL"
    elif ((behind_s > LAG_WARN_S)); then
      found 1 "$text" "$JOURNAL"
    fi
  else
    judged="not judged: the market does not trade now"
  fi
  ((gaps && now_s - gap_ms / 1000 < GAP_LATELY_S)) &&
    found 1 "$gaps gaps are open, the last since $(at $((gap_ms / 1000)))" "hk-tick-collector gaps --open"
fi
((newest_s > now_s + 60)) && found 1 "the newest tick is $((newest_s - now_s)) s ahead of this host's clock" "timedatectl status"
if ((runs && stored != rows)); then
  found 2 "the ledger has $stored ticks stored and the symbols $rows" "keep a copy, see docs/data-quality.md"
elif ((received != stored + duplicate + rejected + dropped + waiting)); then
  found 2 "the ledger does not balance" "keep a copy, see docs/data-quality.md"
fi
((dropped)) && found 1 "$dropped received ticks were dropped" "sudo journalctl -u hk-tick-collector --no-pager | grep ticks_dropped | tail"
((wal_bytes > WAL_LARGE_BYTES)) &&
  found 1 "the write-ahead log has $((wal_bytes / 1048576)) MB: a reader holds it" "lsof $path-wal"
if ((free_mb < DISK_MIN_FREE_MB / 4)); then
  found 2 "$free_mb MB are free in $directory" "df -h $directory; hk-tick-collector report"
elif ((free_mb < DISK_MIN_FREE_MB)); then
  found 1 "$free_mb MB are free in $directory" "df -h $directory; hk-tick-collector report"
fi

state="closed, one plain file"
[[ -e $path-wal ]] && state="being written"
[[ -e $path-wal && -z $is_live ]] && state="with a WAL"
((${row[sealed]})) && state=sealed
[[ -n $copy ]] && state=snapshot
complete="unknown: no sequence tells how many ticks there are"
((expected)) && complete="$(awk "BEGIN { printf \"%.5f\", int($rows_patterned * 1e7 / $expected) / 1e5 }") %, $(thousands "$rows_patterned") of $(thousands "$expected") ticks of $patterned symbols"
((expected && symbols > patterned)) && complete+="; of $((symbols - patterned)) it is unknown"
lag="no tick yet"
((newest_s)) && lag="$lag_s s, newest tick $(at "$newest_s" '%F %T') HKT ($judged)"
commit="none yet"
((commit_ms)) && commit="$((now_s - commit_ms / 1000)) s ago, $(at $((commit_ms / 1000)) '%F %T') HKT"

if ((worst)); then
  others=""
  ((more > 1)) && others=" (and $((more - 1)) more, below)"
  echo "${WORDS[worst]}: ${verdict/ -> /$others -> }"
  ((more > 1)) && printf '%s\n' "${findings[@]}"
else
  echo "OK: $(thousands "$rows") ticks of $symbols symbols${is_live:+, collecting}, nothing to do"
fi
cat <<FIGURES
file        $path, schema ${row[schema]}, written by ${row[version]:-an unknown version}, $state
rows        $(thousands "$rows") of $symbols symbols
lag         $lag
complete    $complete
gaps        $gaps open, $(thousands "$missing") ticks missing$( ((unknown)) && echo ", $unknown of unknown size")
ledger      $(thousands "$received") received = $(thousands "$stored") stored + $(thousands "$duplicate") duplicate + $(thousands "$rejected") rejected + $(thousands "$dropped") dropped + $(thousands "$waiting") waiting
last commit $commit
size        $(($(stat -c %s "$path") / 1048576)) MB and WAL $((wal_bytes / 1048576)) MB
disk        $(thousands "$free_mb") MB free
FIGURES
exit "$worst"
