#!/usr/bin/env bash
# upgrade.sh: from one version to another and back, also after an interruption. Read by install.sh.
#
# $JOURNAL records that a change of version has begun: the old version, the new one, and what `status` said before. It is
# removed when the change has ended. So a run after a killed one knows what it must complete.

readonly JOURNAL=$HOME_DIR/.upgrade
FROM=  # of an interrupted change
TO=
BEFORE=

read_journal() {
    [ -f $JOURNAL ] && is_roots $JOURNAL || return 0
    { read -r FROM; read -r TO; read -r BEFORE; } <$JOURNAL || true
    FROM=${FROM#from=} TO=${TO#to=}
}

begin_change() {
    $DRY_RUN && return
    rm -rf $JOURNAL.new
    printf 'from=%s\nto=%s\n%s\n' "$1" "$2" "$3" >$JOURNAL.new
    sync -f $JOURNAL.new
    mv -fT $JOURNAL.new $JOURNAL
}

end_change() {
    act rm -f $JOURNAL
    # The page, publish and merge, if they run: collection depends on none, and neither does the change of version.
    act systemctl try-restart --no-block $UNIT-web.service hk-tick-publish.service hk-tick-merge.service 2>/dev/null || true
    # A server of JetStream keeps running: two of three must run, and only the operator sees the other hosts.
    ! systemctl is-active --quiet hk-nats 2>/dev/null ||
        say "hk-nats keeps running; restart one server after the other: sudo systemctl restart hk-nats"
}

# The version whose files the service's process uses; empty if none of ours runs.
running_release() {
    local pid
    pid=$(systemctl show --property=MainPID --value $UNIT 2>/dev/null) || return 0
    [ "${pid:-0}" != 0 ] || return 0
    sed -n "s|^.* $RELEASES/\([^/]*\)/.*|\1|p" "/proc/$pid/maps" 2>/dev/null | head -n 1 || true
}

# Runs a command as the service's account, in $HOME_DIR and with nothing of root's environment.
as_service() {
    (cd $HOME_DIR && exec setpriv --reuid=$ACCOUNT --regid=$ACCOUNT --init-groups env -i PATH="$PATH" LANG=C.UTF-8 "$@")
}

upgrade() {
    local old=$1 new=$2 before reason fit=false
    say "from $old to $new"
    check_settings "$new"
    { ! $FINISH && ! is_older_schema "$new" "$old"; } || fit=true
    if [[ $(systemctl is-active $UNIT 2>/dev/null) =~ ^(inactive|failed|unknown|)$ ]]; then
        keep_day_files "$old" "$new"
        begin_change "$old" "$new" '{}'
        put_in_force "$new" "$RELEASES/$old"
        fit_day_files "$new"
        end_change
        remove_old_releases "$new" "$old"
        if has_role collector; then # the copies are kept: $new has not opened the day files yet
            say "upgraded to $new; the service was not running, and was not started. Start it: sudo systemctl start $UNIT"
        else
            forget_day_files "$new"
            say "upgraded to $new; no collector runs on this host"
        fi
        return
    fi
    before=${BEFORE:-$(live_state "$old")}
    keep_day_files "$old" "$new"
    begin_change "$old" "$new" "$before"
    trap : INT TERM HUP # an upgrade is completed or undone, never left half done
    put_in_force "$new" "$RELEASES/$old"
    $DRY_RUN && { act systemctl restart $UNIT; say "would watch it for $LOOK_S s, and restore $old if it does not keep running"; return; }
    if reason=$(restart_and_look "$new" "$before" "$fit"); then
        end_change
        forget_day_files "$new"
        remove_old_releases "$new" "$old"
        say "upgraded to $new, which ran without problems for $LOOK_S s; $old is kept in $RELEASES"
    elif [ "$old" = "$new" ]; then
        die "$new is in force and does not keep running: ${reason:-it was interrupted}; sudo systemctl status $UNIT --no-pager"
    else
        roll_back "$old" "$new" "$before" "${reason:-it was interrupted}"
    fi
}

roll_back() {
    local old=$1 new=$2 before=$3 reason=$4
    warn "$new did not keep running: $reason"
    journalctl --unit=$UNIT --no-pager --quiet --lines=8 --output=cat 2>/dev/null | sed 's/^/    /' >&2 || true
    switch_to "$old"
    change_units "$RELEASES/$new" "$RELEASES/$old"
    if reason=$(restart_and_look "$old" "$before" true); then
        end_change
        forget_day_files "$old"
        act rm -f "${RELEASES:?}/$new/.whole"
        act rm -rf "${RELEASES:?}/$new"
        die "rolled back: $old runs again as before; $new was removed"
    fi
    die "rolled back to $old, which does not keep running either ($reason): sudo systemctl status $UNIT --no-pager"
}

# The new version must accept the settings before the running one is stopped.
check_settings() {
    local release=$1 complaint
    $DRY_RUN && return
    complaint=$(as_service "$RELEASES/$release/.venv/bin/$UNIT" config --json 2>&1 >/dev/null) ||
        die "$release does not accept the settings, nothing was changed: ${complaint:-$UNIT config}"
}

# The output of `status` as one line of JSON; {} if there is none. Its exit code is ignored.
live_state() {
    local said
    said=$(as_service "$RELEASES/$1/.venv/bin/$UNIT" status --json 2>/dev/null) || true
    said=$(tr -d '\n' <<<"$said")
    printf '%s\n' "${said:-{\}}"
}

# restart_and_look RELEASE BEFORE FIT: restarts the service and watches it for LOOK_S. Prints what is wrong, or nothing. It must
# be the same process from the restart to the end, and without a problem at the last checks.
restart_and_look() {
    local release=$1 before=$2 fit=$3 good=0 pid first='' reason='' until
    if $fit; then
        timeout 300 systemctl stop $UNIT >>"$LOG" 2>&1 || true
        if ! reason=$(fit_day_files "$release"); then
            systemctl start --no-block $UNIT >>"$LOG" 2>&1 || true # rows that it cannot store stay in its spool
            echo "$reason"
            return 1
        fi
    fi
    timeout $((LOOK_S + 300)) systemctl restart $UNIT >>"$LOG" 2>&1 || { reason_down; return 1; }
    until=$((SECONDS + LOOK_S))
    first=$(systemctl show --property=MainPID --value $UNIT)
    while [ $SECONDS -lt $until ] || { [ $good -gt 0 ] && [ $good -lt $GOOD_LOOKS ]; }; do
        sleep 3
        pid=$(systemctl show --property=MainPID --value $UNIT)
        if [ "$pid" != "$first" ]; then
            sleep 1 # until systemd reports how it ended
            echo "it came up and ended within $LOOK_S s; $(reason_down)"
            return 1
        fi
        if reason=$(live_state "$release" | is_well "$release" "$pid" "$before"); then good=$((good + 1)); else good=0; fi
    done
    [ $good -lt $GOOD_LOOKS ] || return 0
    echo "after $LOOK_S s: ${reason:-it does not keep running}"
    return 1
}

# How it ended, and its last status text for systemd.
reason_down() {
    local state code words
    state=$(systemctl is-active $UNIT || true)
    code=$(systemctl show --property=ExecMainStatus --value $UNIT)
    words=$(systemctl show --property=StatusText --value $UNIT)
    echo "it is $state, exit code $code${words:+, its last word: $words}"
}

# is_well RELEASE PID BEFORE: `status --json` on stdin, as one line: whether this process runs and has no new problem;
# otherwise prints what is wrong.
is_well() {
    # Both through the pipe: Linux allows an argument 128 KiB, and `status` of 2,000 symbols can be longer.
    { cat; printf '%s\n' "$3"; } | as_service "$RELEASES/$1/.venv/bin/python" -I -c '
import json, sys
(now, before), pid = map(json.loads, sys.stdin), int(sys.argv[1])
live, lived = now.get("live") or {}, before.get("live") or {}
if live.get("pid") != pid:
    sys.exit("the new process has not reported yet")
if lived.get("connected") and not live["connected"]:
    sys.exit("it does not reach OpenD, which the old one did")
known = {each["code"] for each in before.get("findings", [])}
for each in now.get("findings", []):
    if each["severity"] in ("CRITICAL", "UNKNOWN") and each["code"] not in known:
        sys.exit(each["severity"] + ": " + each["text"])
' "$2" 2>&1
}

# ---- day files and the schema that a version writes -----------------------------------------------------------------

# The number of the schema that a release writes; empty if unknown.
schema_of() {
    as_service "$RELEASES/$1/.venv/bin/python" -I -c \
        'from hk_tick_collector.store.schema import VERSION; print(VERSION)' 2>/dev/null || true
}

# Whether the first release writes an older schema than the second, or it is unknown.
is_older_schema() {
    local first second
    first=$(schema_of "$1")
    second=$(schema_of "$2")
    [ -z "$first" ] || [ -z "$second" ] || [ "$first" -lt "$second" ]
}

data_root_of() {
    local said
    said=$(as_service "$RELEASES/$1/.venv/bin/$UNIT" config --json 2>/dev/null) || true
    as_service "$RELEASES/$1/.venv/bin/python" -I -c '
import json, sys
print(next(each["value"] for each in json.load(sys.stdin)["settings"] if each["name"] == "DATA_ROOT"))
' <<<"$said" 2>/dev/null || echo $DATA_DIR
}

# day_files RELEASE COMMAND [VERSION]: deploy/day_files.py of this checkout, with the Python of a release.
day_files() {
    local release=$1 command=$2
    shift 2
    as_service "$RELEASES/$release/.venv/bin/python" -I - "$command" "$(data_root_of "$release")" "$@" \
        <"$SOURCE/deploy/day_files.py" 2>&1
}

# Before a version that migrates: copies the files that it would change, while the old version collects.
keep_day_files() {
    local old=$1 new=$2 version said
    $DRY_RUN && return
    version=$(schema_of "$new")
    [ "$version" != "$(schema_of "$old")" ] || return 0
    said=$(day_files "$old" keep "${version:-999999}") || die "nothing was changed: $said"
    [ -z "$said" ] || say "the new version has another schema; copies kept to go back: ${said//$'\n'/; }"
}

# While the service does not run: day files that are newer than a release are rebuilt with its tables.
fit_day_files() {
    local said
    $DRY_RUN && return
    said=$(day_files "$1" fit) || { echo "the day files cannot be opened by $1: $said"; return 1; }
    [ -z "$said" ] || say "day files of a newer version: ${said//$'\n'/; }" >&2
}

forget_day_files() { $DRY_RUN || day_files "$1" forget >>"$LOG" || true; }
