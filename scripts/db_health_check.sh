#!/usr/bin/env bash
# The 30-second check of one day file, with nothing but Debian's sqlite3: bash scripts/db_health_check.sh "$DB"
#
# Argument: the path of a YYYYMMDD.db; without one, today's file of DATA_ROOT. Prints one verdict line with the cause and
# what to type, then the figures behind it, with the newest tick of each symbol.
# Exit 0 OK, 1 WARNING, 2 CRITICAL or wrong usage. It opens the file for reading only, also while the collector writes,
# and never counts ticks: it reads the counters of `symbols`, `gaps` and `ledger`, so a large day takes no longer.
# It answers within 20 s, also when the disk does not. It does not ask OpenD: it reads what the collector wrote in its live
# state. Without one, it judges lag in trading hours by this host's clock, which knows no holiday and no half day; so it
# does while OpenD is away, except on a day that OpenD's calendar does not expect.
# `hk-tick-collector status` shows more.
set -uo pipefail
export LC_ALL=C TZ=Asia/Hong_Kong

# Text from outside (OpenD, files, paths) is printed too: a character that a terminal obeys or reorders becomes a "?".
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
WAL_LARGE_BYTES=$((250 * 1024 * 1024)) # as `status`, with the default checkpoint length
GAP_LATELY_S=900
LOCK_CRITICAL_S=60 # waiting this long for a lock is critical, as in `status`
LEAST_COMPLETE=9999 # of 10,000: a day with less of the expected ticks is not OK, as in `status`
RESTARTS_WARN=2 RESTARTS_CRITICAL=5 # unplanned ones within an hour, as in `status`
FRESH_S=10
SYMBOLS_SHOWN=40
CPU_LIMIT_S=2          # of CPU time; the counters take milliseconds
LOOK_S=0.2 MOST_WAITS=12 # if sqlite3 waits at so many checks in a row (2.4 s), it is stopped
SQLITE_S=10 ANSWER_S=20 # time limits of one call of sqlite3 and of the whole script
APPLICATION_ID=1212896323 # "HKTC", in the header of every day file
RUNTIME_DIRECTORY=/run/hk-tick-collector
INSTALLED=/opt/futu_tick_downloader
START="sudo systemctl start hk-tick-collector"
RESTART="sudo systemctl restart hk-tick-collector"
JOURNAL="sudo journalctl -u hk-tick-collector --since '10 minutes ago' --no-pager"
LAST_LINES="sudo journalctl -u hk-tick-collector -b --no-pager | tail -n 200"
TAKE_BACK="echo request_highest_quote_right | nc -C -q 3 127.0.0.1 22222"

WORDS=(OK WARNING CRITICAL)

# finish SEVERITY TEXT [REMEDY]: prints the verdict and exits; nothing else is checked. A remedy is a command to paste.
finish() {
  echo "${WORDS[$1]}: $2${3:+ -> $3}"
  exit "$1"
}

worst=0 verdict="" remedy="" more=0 findings=()
# found SEVERITY TEXT [REMEDY]: notes a finding; the verdict is the first of the most severe ones.
found() {
  if (($1 > worst)); then
    worst=$1 verdict=$2 remedy=${3:-}
  fi
  more=$((more + 1))
  findings+=("  ${WORDS[$1]}: $2${3:+ -> $3}")
}

usage() {
  clean <<<"db_health_check.sh: ${1//$'\n'/ }: bash scripts/db_health_check.sh /data/sqlite/HK/YYYYMMDD.db" >&2
  exit 2
}

# at EPOCH_SECOND [FORMAT]: the time in Hong Kong.
at() { date -d "@$1" "+${2:-%H:%M:%S}"; }

thousands() { sed ':a;s/\B[0-9]\{3\}\>/,&/;ta' <<<"$1"; }

# A path, quoted for a shell.
quoted() { printf '%q' "$1"; }

is_pid() { [[ $1 =~ ^[1-9][0-9]{0,9}$ ]]; }
is_number() { [[ $1 =~ ^-?[0-9]{1,17}$ ]]; }

# setting NAME DEFAULT: from the environment, .env in this directory or the installed .env, else the default. Root reads only
# the installed one.
setting() {
  local file line=""
  [[ -n ${!1:-} ]] && { echo "${!1}"; return; }
  for file in ./.env "$INSTALLED/.env"; do
    [[ $file == ./.env && $EUID -eq 0 && $PWD != "$INSTALLED" ]] && continue
    if [[ -r $file ]]; then
      line=$(sed -n "s/^[[:space:]]*$1=//p" "$file" | tail -n 1)
      line=${line%"${line##*[![:space:]]}"}
      [[ $line == \"*\" || $line == \'*\' ]] && line=${line:1:-1}
      break
    fi
  done
  echo "${line:-$2}"
}

# Whether a collector holds the lock of this DATA_ROOT. It reads the kernel's list of locks, and takes no lock itself.
collector_runs() {
  local inode
  inode=$(stat -c %i "$directory/.collector.lock" 2>/dev/null) || return 1
  grep -q "FLOCK .* WRITE .*:$inode 0 EOF" /proc/locks
}

# The service's live state for this DATA_ROOT: the newer of two possible files; nothing if there is none.
live_file() {
  local file newest=""
  for file in "$RUNTIME_DIRECTORY/status.json" "$directory/status.json"; do
    if [[ -r $file && (-z $newest || $file -nt $newest) ]] && grep -qF "\"data_root\":\"$directory\"" "$file"; then
      newest=$file
    fi
  done
  echo "$newest"
}

# Reads the live state into the array `live`: values for calculations must be numbers, texts have one line.
declare -A live
read_live() {
  local key rest file
  file=$(live_file)
  [[ -n $file ]] || return
  live[age]=$((now_s - $(stat -c %Y "$file")))
  while IFS='|' read -r key rest; do live[${key:-none}]=$rest; done < <(
    timeout "$SQLITE_S" sqlite3 -batch -init /dev/null -list -separator '|' :memory: 2>/dev/null <<SQL
CREATE TABLE live AS SELECT CAST(readfile('${file//\'/\'\'}') AS TEXT) AS j;
CREATE VIEW word AS SELECT key, substr(replace(replace(CAST(value AS TEXT), '|', '/'), char(10), ' '), 1, 300) AS value
  FROM live, json_each(j) WHERE type IN ('text', 'true', 'false');
SELECT key, value FROM word WHERE key IN ('state', 'writer_trouble', 'writer_detail', 'writer_day', 'program');
SELECT key, CASE type WHEN 'true' THEN 'true' ELSE 'false' END FROM live, json_each(j)
  WHERE key IN ('trading', 'day_expected', 'connected', 'quote_logged_in') AND type IN ('true', 'false');
SELECT key, CAST(value AS INTEGER) FROM live, json_each(j)
  WHERE key IN ('trading_since_ms', 'writer_trouble_since_ms', 'writer_holder_pid', 'ticks_healing') AND type = 'integer';
SELECT 'trouble', replace(replace(e.key, '|', '/'), char(10), ' ') FROM live, json_each(j, '\$.trouble') AS e LIMIT 1;
SELECT 'trouble_since_ms', CAST(e.value AS INTEGER) FROM live, json_each(j, '\$.trouble_since_ms') AS e LIMIT 1;
SELECT 'held', max(e.key) FROM live, json_each(j, '\$.held_rows') AS e
  WHERE e.key GLOB '[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]' HAVING count(*);
SELECT 'restarts', count(*) FROM live, json_each(j, '\$.unplanned_ms') AS e WHERE e.value > ${now_s}000 - 3600000;
SQL
  )
}

# The value of NAME in a live state that is up to date; nothing otherwise.
fresh() {
  [[ -n ${live[age]:-} ]] && ((live[age] <= FRESH_S)) && echo "${live[$1]:-}"
}

# Why there is no file, and whether one is expected.
no_file() {
  local above=$directory
  while [[ ! -e $above && $above != / ]]; do above=$(dirname "$above"); done
  if [[ $above != "$directory" && -x $above ]]; then
    finish 2 "there is no directory $directory; check the path, DATA_ROOT, and that its disk is mounted" \
      "hk-tick-collector config | grep DATA_ROOT"
  elif [[ ! -x $above ]]; then
    no_right "to look into $above" "$above"
  elif waiting=$(compgen -G "$path.predecessor-*.not-imported"); then
    finish 1 "there is no $path: the predecessor's file of that day is not imported yet" \
      "sudo hk-tick-collector import $(quoted "${waiting%%$'\n'*}")"
  elif [[ -n $copy ]]; then
    finish 1 "there is no snapshot $path" "hk-tick-collector snapshot --day $day"
  elif [[ $day > $today ]]; then
    finish 2 "there is no $path: $day is in the future, today is $today in Hong Kong"
  elif (($(date -d "$day" +%u) > 5)); then
    finish 0 "there is no $path and none is expected: $day is a $(date -d "$day" +%A), not a trading day"
  elif [[ $day < $today ]]; then
    finish 1 "there is no $path: a holiday, or the collector did not run that day" "ls $(quoted "$directory")"
  elif ! collector_runs; then
    finish 2 "there is no $path: $(not_running)" "$(how_to_start)"
  elif [[ $(fresh day_expected) == false ]]; then
    finish 0 "there is no $path and none is expected: by OpenD's calendar $day is not a trading day"
  fi
  finish 2 "there is no $path, though a collector runs on $directory" "hk-tick-collector status"
}

# What to type for a file of another program; `hk-tick-collector status` says the same.
move_away() {
  local db
  db=$(quoted "$path")
  echo "d=$db.aside-\$(date +%H%M%S); sudo mkdir \$d; for f in $db{-journal,-wal,-shm,}; do [ ! -e \$f ] || sudo mv \$f \$d/; done"
}

# no_right WHAT PATH
no_right() {
  local group
  group=$(stat -c %G "$2")
  finish 2 "no right $1; join its group" "sudo usermod -aG $group $(id -un) && newgrp $group"
}

# Whether the collector was stopped or died, according to its live state.
not_running() {
  local ago
  [[ -n ${live[age]:-} ]] && ago="$(at $((now_s - live[age])))"
  case ${live[state]:-} in
    stopped) echo "no collector runs on $directory: it was stopped at $ago" ;;
    "") echo "no collector runs on $directory" ;;
    *) echo "no collector runs on $directory: it died without a word, last seen at $ago" ;;
  esac
}

how_to_start() {
  case ${live[state]:-} in
    stopped | "") echo "$START" ;;
    *) echo "$LAST_LINES; $START" ;;
  esac
}

# process PID: its number, user and command in words.
process() {
  local command user
  user=$(stat -c %U "/proc/$1" 2>/dev/null)
  command=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline")
  command=${command%"${command##*[! ]}"}
  ((${#command} <= 80)) || command=${command:0:77}...
  echo "pid $1${user:+ ($user${command:+: $command})}"
}

# Which process holds the lock that the writer waits for, and how to end it: by its pid if the live state has it.
holder() {
  local pid=${live[writer_holder_pid]:-}
  is_pid "$pid" || { echo "; stop the other program that writes it"; return; }
  echo ", locked by $(process "$pid"); end that process; writing resumes by itself"
}

end_holder() {
  if is_pid "${live[writer_holder_pid]:-}"; then
    echo "sudo kill -TERM ${live[writer_holder_pid]}"
  else
    echo "sudo fuser -v $1 $1-wal $1-shm"
  fi
}

# The writer waits for a known cause: the same words as `status`.
writer_waits() {
  local since_s=0 db
  is_number "${live[writer_trouble_since_ms]:-}" && since_s=$((now_s - live[writer_trouble_since_ms] / 1000))
  db=$(quoted "$directory/${live[writer_day]:-$today}.db")
  local text="the writer waits for $since_s s: ${live[writer_trouble]} (${live[writer_detail]:-})"
  case ${live[writer_trouble]} in
    busy) found $((since_s < LOCK_CRITICAL_S ? 1 : 2)) "$text$(holder)" "$(end_holder "$db")" ;;
    disk_full) found 2 "$text; free some space; writing resumes by itself" "df -h $(quoted "$directory")" ;;
    read_only) found 2 "$text; once mounted; writing resumes by itself" \
      "sudo dmesg | tail; sudo mount -o remount,rw \$(findmnt -n -o TARGET -T $(quoted "$directory"))" ;;
    no_permission) found 2 "$text; writing resumes by itself" \
      "sudo chown -R hkcollector:hkcollector $(quoted "$directory")" ;;
    io_error) found 2 "$text; the disk may be failing" "sudo dmesg | tail" ;;
    *) found 2 "$text" "hk-tick-collector status" ;;
  esac
}

# OpenD is connected and sends no ticks: the same words as `status`.
opend_reports() {
  local since=""
  is_number "${live[trouble_since_ms]:-}" && since=" since $(at $((live[trouble_since_ms] / 1000)))"
  local text="OpenD reports: ${live[trouble]//_/ }$since"
  case ${live[trouble]} in
    kicked_out | quote_right_*)
      found 2 "$text; another terminal of this account took its quotes, this takes them back" "$TAKE_BACK" ;;
    forced_logout) found 2 "$text; this logs it in again" "echo relogin | nc -C -q 3 127.0.0.1 22222" ;;
    *) found 2 "$text" "hk-tick-collector status; sudo journalctl -u futu-opend -n 30 --no-pager" ;;
  esac
}

# What sqlite3 said, as cause and remedy.
explain() {
  case $1 in
    *"not a database"*) finish 2 "$path is not an SQLite file" "$(move_away)" ;;
    *'near "STRICT"'*)
      finish 2 "sqlite3 of this host is $(sqlite3 --version | cut -d ' ' -f 1), too old for day files: they need 3.37 or later" \
        "hk-tick-collector status" ;;
    *malformed* | *corrupt*)
      finish 2 "$path is damaged; keep it, see docs/sqlite-wal.md" "hk-tick-collector status" ;;
    *locked* | *busy* | *"locking protocol"*)
      disk_holds "$(collector_pid)" && finish_hanging "$(collector_pid)"
      finish 2 "$path stays locked by another program" "sudo lsof $(quoted "$path")" ;;
    *"no such table"* | *"no such column"*)
      finish 2 "$path has another schema (${1##*: }); use the scripts of the version that wrote it" \
        "hk-tick-collector --version" ;;
    *"unable to open"* | *readonly*)
      finish 2 "sqlite3 cannot open $path; a WAL without its -shm needs the collector started, or sudo" \
        "ls -l $(quoted "$path")*" ;;
    *"I/O error"*) finish 2 "$path cannot be read from its disk" "sudo dmesg | tail" ;;
    "") finish 2 "$path asks for more work than a day file does: others changed its tables" "sqlite3 $(quoted "$path") .schema" ;;
  esac
  finish 2 "sqlite3 cannot read $path (${1//$'\n'/ })" "hk-tick-collector status"
}

# The process that holds the lock of this DATA_ROOT, nothing where there is none.
collector_pid() {
  awk -v file=":$(stat -c %i "$directory/.collector.lock" 2>/dev/null)" '$2 == "FLOCK" && index($6, file) { print $5 }' /proc/locks
}

# Another process that has the file open: the holder of a lock that SQLite takes; nothing if there is none.
opened_by() {
  awk -v shm=":$(stat -c %i "$path-shm" 2>/dev/null || echo none):" -v file=":$(stat -c %i "$path"):" -v own="$asked" \
    '$2 == "POSIX" && $5 != own && (index($6 ":", shm) || index($6 ":", file)) { print $5; exit }' /proc/locks
}

# The verdict for a file of the predecessor: the same words as `status`.
finish_predecessors() {
  local pid import
  import="sudo hk-tick-collector import $(quoted "$path")"
  pid=$(opened_by)
  is_pid "$pid" || finish 1 "$path is a day file of the predecessor" "$import"
  grep -qsx "0::/system.slice/hk-tick-collector.service" "/proc/$pid/cgroup" &&
    finish 1 "$path is a day file of the predecessor, open in $(process "$pid")" "$RESTART; $import"
  finish 1 "$path is a day file of the predecessor, open in $(process "$pid")" "sudo kill -TERM $pid; $import"
}

# Whether a thread of a process waits inside the kernel, as for a disk that does not answer.
disk_holds() { [[ -n $1 ]] && grep -qsE '^[0-9]+ \(.*\) D ' /proc/"$1"/task/*/stat; }

# finish_hanging PID: the verdict for a process that waits for the disk; the kernel says whether the disk is frozen.
finish_hanging() {
  if grep -qsE 'percpu_|sb_start_write' /proc/"$1"/task/*/wchan || grep -qs '"disk_frozen":true' "$RUNTIME_DIRECTORY/status.json" "$directory/status.json"; then
    finish 2 "the disk of $directory is frozen (fsfreeze): backups of this machine do that for a few seconds; if no backup is running, unfreeze it" \
      "sudo fsfreeze --unfreeze \$(findmnt -n -o TARGET -T $(printf %q "$directory"))"
  fi
  finish 2 "the disk of $directory does not answer" "sudo dmesg | tail"
}

# Reads the answer of `ask` into `answer`. It never waits for the end of that process: a process that waits for a disk inside
# the kernel cannot be killed. Work is limited in CPU time, a wait for the disk or a lock in seconds.
asked=0 # the process of `ask`
await_answer() {
  local line answering pid state code switches="" before="" waits=0
  exec {answering}< <(exec 2>/dev/null; ulimit -t "$CPU_LIMIT_S"; ask)
  pid=$! asked=$!
  while true; do
    IFS= read -r -t "$LOOK_S" -u "$answering" line
    code=$? answer+=$line
    ((code)) || { answer+=$'\n' waits=0; continue; }
    ((code > 128)) || break
    state=$(sed 's/.*) //; s/ .*//' /proc/"$pid"/stat 2>/dev/null)
    switches=$(grep -s ctxt_switches /proc/"$pid"/status)
    if [[ $state == S || ($state == D && $switches == "$before") ]]; then
      ((++waits))
    elif [[ $state == D ]]; then
      waits=0
    fi
    before=$switches
    if ((waits >= MOST_WAITS)); then
      kill -KILL "$pid" 2>/dev/null
      [[ $state == D ]] && finish_hanging "$pid"
      disk_holds "$(collector_pid)" && finish_hanging "$(collector_pid)"
      finish 2 "$path gave no answer within seconds: another process keeps it, or its disk hangs" \
        "sudo dmesg | tail; sudo fuser -v $(quoted "$path")*"
    fi
  done
  exec {answering}<&-
  answer=${answer%$'\n'}
}

# All queries of the file, in one transaction, of counters only. A value for a calculation must be a number, also in a file
# that is not ours: bash evaluates the text in an arithmetic expression.
ask() {
  local uri=${path//%/%25}
  uri=${uri//\?/%3f} uri=${uri//#/%23}
  exec sqlite3 -batch -bail -init /dev/null -list -separator '|' "file:$uri?mode=ro" 2>&1 <<SQL
.timeout 2000
.limit length 1000000
PRAGMA trusted_schema = OFF;
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
SELECT 'above', count(*) FROM symbols WHERE rows > expected;
SELECT 'gaps', count(*), ifnull(sum(missing), 0), count(*) - count(missing), CAST(ifnull(max(opened_ms), 0) AS INTEGER)
  FROM gaps WHERE status = 'open';
SELECT 'before', ifnull(sum(missing), 0)
  FROM gaps, (SELECT ifnull(min(started_ms), 9e18) AS ms FROM ledger WHERE started_ms >
              (SELECT min(started_ms) FROM ledger WHERE stored > 0)) AS second
  WHERE status = 'open' AND cause = 'before_start' AND ($first_day OR opened_ms >= second.ms);
SELECT 'ledger', count(*), ifnull(sum(received), 0), ifnull(sum(stored), 0), ifnull(sum(duplicate), 0),
       ifnull(sum(rejected), 0), ifnull(sum(dropped), 0), ifnull(sum(waiting), 0), CAST(ifnull(max(updated_ms), 0) AS INTEGER)
  FROM ledger;
SELECT 'link', connected, CAST(from_ms AS INTEGER), substr(replace(replace(reason, '|', '/'), char(10), ' '), 1, 300)
  FROM connections WHERE to_ms IS NULL ORDER BY from_ms DESC LIMIT 1;
SELECT 'fresh' || row_number() OVER (), * FROM (
  SELECT replace(replace(symbol, '|', '/'), char(10), ' '), CAST(rows AS INTEGER), CAST(last_ts_ms AS INTEGER)
    FROM symbols ORDER BY last_ts_ms, symbol LIMIT $SYMBOLS_SHOWN);
COMMIT;
SELECT 'done';
SQL
}

# The newest tick of each symbol, the oldest first: it shows which symbols have stopped.
freshness() {
  local number symbol count last_ms age more_symbols
  for ((number = 1; number <= SYMBOLS_SHOWN; number++)); do
    [[ -v row[fresh$number] ]] || break
    IFS='|' read -r symbol count last_ms <<<"${row[fresh$number]}"
    is_number "$count" && is_number "$last_ms" || continue
    age=""
    [[ -n $is_live ]] && age=", $((now_s - last_ms / 1000)) s ago"
    printf '  %-10s newest tick %s%s, %s rows\n' "$symbol" "$(at $((last_ms / 1000)))" "$age" "$(thousands "$count")"
  done
  more_symbols=$((symbols - SYMBOLS_SHOWN))
  ((more_symbols > 0)) && echo "  and $(thousands "$more_symbols") more symbols, all with newer ticks"
}

main() {
  [[ -e $path ]] || no_file
  [[ -f $path ]] || finish 2 "$path is no regular file" "$(move_away)"
  [[ -r $path ]] || no_right "to read $path" "$path"
  [[ -s $path ]] || finish 2 "$path is empty: it was truncated (docs/sqlite-wal.md)" "hk-tick-collector status"

  local earliest first_day=0 answer=""
  earliest=$(find "$directory" -maxdepth 1 -name '[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9].db' -printf '%f\n' 2>/dev/null |
    sort | head -n 1)
  [[ -z $earliest || ! $earliest < $day.db ]] && first_day=1
  await_answer
  declare -A row
  local key rest
  while IFS='|' read -r key rest; do row[${key:-none}]=$rest; done <<<"$answer"
  if [[ -n ${row[application_id]:-} && ${row[application_id]} != "$APPLICATION_ID" ]]; then
    [[ ${row[predecessor]:-} == 1 ]] && finish_predecessors
    finish 2 "$path is another program's database" "$(move_away)"
  fi
  [[ -v row[done] ]] || {
    [[ $answer == *rror* ]] || answer=""
    explain "$answer"
  }

  IFS='|' read -r symbols rows newest_ms patterned rows_patterned expected <<<"${row[symbols]}"
  IFS='|' read -r gaps missing unknown gap_ms <<<"${row[gaps]}"
  IFS='|' read -r runs received stored duplicate rejected dropped waiting commit_ms <<<"${row[ledger]}"
  IFS='|' read -r connected link_ms reason <<<"${row[link]:-1|0|}"
  newest_s=$((newest_ms / 1000)) lag_s=$((now_s - newest_ms / 1000))
  wal_bytes=$(stat -c %s "$path-wal" 2>/dev/null || echo 0)
  free_mb=$(df -P -BM "$directory" | awk 'NR == 2 { print $4 + 0 }')

  # Today: does a collector run, and is the file up to date?
  judged="not judged: $day is not today" is_live=""
  [[ $day == "$today" && -z $copy ]] && judge_today
  ((newest_s > now_s + 60)) &&
    found 1 "the newest tick is $((newest_s - now_s)) s ahead of this host's clock" "timedatectl status"
  if ((runs && stored != rows)); then
    found 2 "the ledger has $stored ticks stored and the symbols $rows; keep a copy (docs/data-quality.md)" \
      "sudo hk-tick-collector snapshot --day $day"
  elif ((received != stored + duplicate + rejected + dropped + waiting)); then
    found 2 "the ledger does not balance; keep a copy (docs/data-quality.md)" "sudo hk-tick-collector snapshot --day $day"
  fi
  judge_completeness
  ((dropped)) &&
    found 1 "$dropped received ticks were dropped" "sudo journalctl -u hk-tick-collector --no-pager | grep ticks_dropped | tail"
  ((wal_bytes > WAL_LARGE_BYTES)) &&
    found 1 "the WAL has $((wal_bytes / 1048576)) MB: a reader holds it" "sudo lsof $(quoted "$path-wal")"
  if ((free_mb * 4 < DISK_MIN_FREE_MB)); then
    found 2 "$free_mb MB are free in $directory" "df -h $(quoted "$directory"); hk-tick-collector report"
  elif ((free_mb < DISK_MIN_FREE_MB)); then
    found 1 "$free_mb MB are free in $directory" "df -h $(quoted "$directory"); hk-tick-collector report"
  fi
  tell
  exit "$worst"
}

judge_today() {
  is_live=yes
  local hour since_s=0
  hour=$(at "$now_s" %H%M)
  ((10#$(at "$now_s" %u) > 5)) || case $hour in
    093? | 09[45]? | 1[01]??) since_s=$(date -d "$day 09:30" +%s) ;;
    1[345]??) since_s=$(date -d "$day 13:00" +%s) ;;
  esac
  judged="judged in 09:30 to 12:00 and 13:00 to 16:00 by this host's clock, which knows no holiday and no half day"
  case $(fresh connected),$(fresh trading) in
    *,true)
      judged="judged: OpenD says that the market trades"
      is_number "${live[trading_since_ms]:-}" && ((since_s == 0)) && since_s=$((live[trading_since_ms] / 1000))
      ;;
    true,false) since_s=0 ;; # OpenD says that the market is closed; without a connection it says nothing
    *) [[ $(fresh day_expected) == false ]] && since_s=0 ;;
  esac
  if ! collector_runs; then
    found 2 "$(not_running)" "$(how_to_start)"
  elif ((${live[age]:-0} > FRESH_S)); then
    found 2 "the collector has not reported for ${live[age]} s: it is stuck" "$JOURNAL; sudo systemctl restart hk-tick-collector"
  elif [[ -n $(fresh writer_trouble) ]]; then
    writer_waits
  elif [[ -n $(fresh held) ]]; then
    found 2 "ticks of ${live[held]} wait: the collector cannot write that day file" "hk-tick-collector status"
  elif [[ $connected == 0 ]]; then
    found $((now_s - link_ms / 1000 > 60 ? 2 : 1)) "OpenD is away since $(at $((link_ms / 1000))): $reason" \
      "sudo systemctl status futu-opend --no-pager"
  elif [[ -n $(fresh trouble) ]]; then
    opend_reports
  elif [[ -n $(fresh program) && (${live[program]} != ready || ${live[quote_logged_in]:-} == false) ]]; then
    found 2 "OpenD is not ready, ${live[program]//_/ }" "sudo journalctl -u futu-opend -n 30 --no-pager"
  fi
  if is_number "$(fresh restarts)" && ((live[restarts] >= RESTARTS_WARN)); then
    found $((live[restarts] >= RESTARTS_CRITICAL ? 2 : 1)) \
      "the collector ended by itself ${live[restarts]} times in the last hour and was started again" "$LAST_LINES"
  fi
  if ((since_s)); then
    local behind_s=$((now_s - (newest_s > since_s ? newest_s : since_s)))
    local text="the newest tick is $((now_s - newest_s)) s old while the market trades"
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
}

# Ticks that were expected and are not in the file, without those that are being backfilled.
judge_completeness() {
  local healing=0 lost wanted
  is_number "$(fresh ticks_healing)" && [[ -n $is_live ]] && healing=${live[ticks_healing]}
  lost=$((missing - row[before] - healing)) wanted=$((expected - row[before]))
  ((row[above])) &&
    found 1 "there are more ticks than their sequences tell: completeness is not known (docs/data-quality.md)" \
      "hk-tick-collector gaps --day $day"
  compgen -G "$path.predecessor-*.not-imported" >/dev/null && return # that file may have the missing ticks
  if ((lost > 0 && (wanted <= 0 || (wanted - lost) * 10000 / wanted < LEAST_COMPLETE))); then
    found 1 "$(thousands "$lost") ticks of $day are lost" "hk-tick-collector gaps --open --day $day"
  fi
}

tell() {
  local state="closed, one plain file" complete lag commit others=""
  [[ -e $path-wal ]] && state="being written"
  [[ -e $path-wal && -z $is_live ]] && state="with a WAL"
  ((${row[sealed]})) && state=sealed
  [[ -n $copy ]] && state=snapshot
  complete="unknown: the sequence does not show how many ticks there are"
  ((expected)) && complete="$(awk "BEGIN { printf \"%.5f\", int($rows_patterned * 1e7 / $expected) / 1e5 }") %, $(thousands "$rows_patterned") of $(thousands "$expected") ticks of $patterned symbols"
  ((expected && symbols > patterned)) && complete+="; unknown for $((symbols - patterned)) symbols"
  lag="no tick yet"
  ((newest_s)) && lag="$lag_s s, newest tick $(at "$newest_s" '%F %T') HKT ($judged)"
  commit="none yet"
  ((commit_ms)) && commit="$((now_s - commit_ms / 1000)) s ago, $(at $((commit_ms / 1000)) '%F %T') HKT"
  if ((worst)); then
    ((more > 1)) && others=" (and $((more - 1)) more, below)"
    echo "${WORDS[worst]}: $verdict$others${remedy:+ -> $remedy}"
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
  ((symbols)) && echo "symbols     newest tick of each, the oldest first" && freshness
}

(($# <= 1)) || usage "one day file at most, $# given"
if (($#)); then
  case $1 in
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    "") usage "the path is empty" ;;
    *$'\n'*) usage "a path with a line break is no day file" ;;
  esac
fi
command -v sqlite3 >/dev/null || finish 2 "there is no sqlite3 on this host" "sudo apt-get install sqlite3"

now_s=$(date +%s)
today=$(at "$now_s" %Y%m%d)
given=${1:-$(setting DATA_ROOT /data/sqlite/HK)/$today.db}
LAG_CRITICAL_S=$(setting LAG_CRITICAL_SEC 300) LAG_CRITICAL_S=${LAG_CRITICAL_S%.*}
DISK_MIN_FREE_MB=$(setting DISK_MIN_FREE_MB 2048)
[[ $LAG_CRITICAL_S =~ ^[1-9][0-9]{0,9}$ ]] || LAG_CRITICAL_S=300
[[ $DISK_MIN_FREE_MB =~ ^[1-9][0-9]{0,9}$ ]] || DISK_MIN_FREE_MB=2048
path=$(realpath -ms -- "$given")
directory=$(dirname "$path") name=$(basename "$path")
[[ $name =~ ^([0-9]{8})(\.snapshot)?\.db$ ]] || usage "$given has not the name of a day file"
day=${BASH_REMATCH[1]} copy=${BASH_REMATCH[2]}
[[ $(date -d "$day" +%Y%m%d 2>/dev/null) == "$day" ]] || usage "$day is not a date"

# The rest reads the disk, which may not answer: the script waits for it, with a time limit.
exec {said}< <(
  exec 2>&1 # a process that hangs must not keep the streams of the caller open
  (
    read_live
    main
  )
  echo "exit $?"
)
code="" lines=()
while IFS= read -r -t "$ANSWER_S" -u "$said" line; do
  if [[ $line =~ ^exit\ ([0-9]+)$ ]]; then
    code=${BASH_REMATCH[1]}
    break
  fi
  lines+=("$line")
done
[[ -n $code ]] || finish 2 \
  "$directory does not answer within $ANSWER_S s: its disk hangs, or its file system is frozen (by a backup of the host?)" \
  "cat /proc/pressure/io; sudo dmesg | tail"
printf '%s\n' "${lines[@]}"
exit "$code"
