#!/usr/bin/env bash
# install.sh: makes this Debian 12 host run hk-tick-collector under systemd. See --help.
#
# Each version has a directory of its own below releases/; `current` is a link to the one in force, and .venv, scripts,
# docs and deploy are links through it. So a version is changed by the change of one link, and changed back the same way.
# Every step may be repeated: what is right already is left as it is.
set -Eeuo pipefail
umask 022

readonly PROGRAM=install.sh
readonly UNIT=hk-tick-collector
readonly HOME_DIR=/opt/futu_tick_downloader
readonly RELEASES=$HOME_DIR/releases
readonly CURRENT=$HOME_DIR/current
readonly ENV_FILE=$HOME_DIR/.env
readonly OPEND_FILE=/etc/default/futu-opend
readonly DATA_DIR=/data/sqlite/HK
readonly UNIT_DIR=/etc/systemd/system
readonly COMMAND=/usr/local/bin/$UNIT
readonly ACCOUNT=hkcollector
readonly OPEND_ACCOUNT=futu-opend
readonly LINKS=(.venv scripts docs deploy)
readonly SOURCES=(src pyproject.toml README.md LICENSE requirements/runtime.txt .env.example deploy scripts docs)
readonly PACKAGES=(sqlite3 lsof psmisc netcat-openbsd python3-venv)
readonly NEEDED_MB=400      # a release takes about a third of it, an upgrade has two side by side
readonly HEALTH_S=60        # the new version has so long to come up
readonly GOOD_LOOKS=3       # in a row, with the same process
readonly KEPT_RELEASES=3
readonly PYTHON=${PYTHON:-python3}

SOURCE=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly SOURCE
ACTION=install
DRY_RUN=false
WHEELHOUSE=
BUILDING=         # a release that is not whole yet
MISSING=()        # Debian packages that could not be installed and that the collector runs without

usage() {
    cat <<END
Usage: sudo bash deploy/install.sh [--upgrade | --uninstall] [--wheelhouse DIR] [--dry-run]

Installs hk-tick-collector as a systemd service on Debian 12: packages, account, $HOME_DIR,
$DATA_DIR, units. Never overwrites $ENV_FILE. May be repeated at any time.

  --upgrade         changes to the version of this checkout: restarts the service, looks whether it comes up, and goes
                    back to the old version by itself when it does not
  --uninstall       removes service and program; ticks, settings and accounts stay
  --wheelhouse DIR  takes Python packages (and *.deb, where there are any) from DIR instead of the network;
                    'make wheelhouse' fills one on a host that has a network
  --dry-run         says what would be done and changes nothing; needs no root
  --help            this

Example: sudo bash deploy/install.sh --wheelhouse ./wheelhouse
END
}

# Told even if nobody listens any more: an upgrade goes to its end also when the terminal has gone.
say() { printf '%s: %s\n' "$PROGRAM" "$*" || true; }
warn() { printf '%s: WARNING: %s\n' "$PROGRAM" "$*" >&2 || true; }
die() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; exit 1; }
wrong_usage() { printf '%s: %s: see --help\n' "$PROGRAM" "$*" >&2; exit 2; }

# What must be so before anything is done; a dry run only tells.
require() {
    local what=$1
    if $DRY_RUN; then say "would stop here: $what"; else die "$what"; fi
}

# Does it, or says that it would.
act() {
    if $DRY_RUN; then printf '  would run: %s\n' "$*"; else "$@"; fi
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --upgrade | --uninstall)
                [ "$ACTION" = install ] || wrong_usage "$1 and --$ACTION exclude each other"
                ACTION=${1#--}
                ;;
            --wheelhouse)
                [ $# -ge 2 ] || wrong_usage "--wheelhouse needs a directory"
                WHEELHOUSE=$2
                shift
                ;;
            --wheelhouse=*) WHEELHOUSE=${1#*=} ;;
            --dry-run) DRY_RUN=true ;;
            --help | -h) usage; exit 0 ;;
            *) wrong_usage "unknown argument '$1'" ;;
        esac
        shift
    done
    [ "$ACTION" != uninstall ] || [ -z "$WHEELHOUSE" ] || wrong_usage "--uninstall needs no --wheelhouse"
    [ -n "$WHEELHOUSE" ] || return 0
    compgen -G "$WHEELHOUSE/*.whl" >/dev/null ||
        wrong_usage "--wheelhouse '$WHEELHOUSE' holds no *.whl: fill it with 'make wheelhouse' where there is a network"
    WHEELHOUSE=$(cd "$WHEELHOUSE" && pwd)
}

# ---- what the host must be ------------------------------------------------------------------------------------------

check_host() {
    [ "$(id -u)" -eq 0 ] || require "this needs root: sudo bash deploy/install.sh"
    command -v apt-get >/dev/null || require "this is no Debian (no apt-get): install by hand as deploy/ and README.md show, on Debian 12 or newer"
    [ -d /run/systemd/system ] || require "systemd does not run here: boot the host with systemd"
}

check_source() {
    local each
    for each in src pyproject.toml requirements/runtime.txt; do
        [ -e "$SOURCE/$each" ] ||
            die "$SOURCE holds no sources (no $each): run deploy/install.sh of a checkout; only --uninstall works here"
    done
}

check_python() {
    local version
    command -v "$PYTHON" >/dev/null || { require "there is no $PYTHON: sudo apt-get install python3-venv"; return; }
    version=$("$PYTHON" -c 'import platform; print(platform.python_version())') || die "$PYTHON does not run"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        require "Python 3.11 or newer is needed, $PYTHON is $version: name another, sudo PYTHON=/path/to/python3.11 bash deploy/install.sh"
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        require "$PYTHON has no venv module: sudo apt-get install python3-venv"
}

check_space() {
    local place=$HOME_DIR free_mb
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    free_mb=$(df --output=avail --block-size=1M "$place" | tail -n 1)
    [ "$free_mb" -ge "$NEEDED_MB" ] ||
        require "the disk is full: $((free_mb)) MB free at $place, $NEEDED_MB MB are needed; sudo du -xh -d 2 $place | sort -h shows what takes the space"
}

# One installer at a time.
lock() {
    $DRY_RUN && return
    exec 9>/run/lock/$UNIT-install.lock
    flock --nonblock 9 || die "another $PROGRAM is at work: wait for it"
}

# ---- Debian packages, accounts, directories -------------------------------------------------------------------------

is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do is_installed "$package" || printf '%s\n' "$package"; done
}

install_packages() {
    local missing debs=()
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Debian packages: ${missing[*]}"
    [ -z "$WHEELHOUSE" ] || mapfile -t debs < <(compgen -G "$WHEELHOUSE/*.deb" || true)
    $DRY_RUN && { act apt-get install -y "${missing[@]}"; return; }
    export DEBIAN_FRONTEND=noninteractive
    if [ ${#debs[@]} -gt 0 ]; then
        apt-get install -y -qq --no-install-recommends -o APT::Sandbox::User=root "${debs[@]}" >>"$LOG" 2>&1 || true
    else
        apt-get update -qq -o Acquire::Retries=1 >>"$LOG" 2>&1 || true # lists and files may be here already
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >>"$LOG" 2>&1 || true
    fi
    mapfile -t MISSING < <(missing_packages)
    [ ${#MISSING[@]} -eq 0 ] || warn "apt-get could not install: ${MISSING[*]} (see $LOG); the runbook's commands need them"
}

make_accounts() {
    getent group $ACCOUNT >/dev/null || { say "group $ACCOUNT"; act groupadd --system $ACCOUNT; }
    make_account $ACCOUNT /nonexistent
    getent group $OPEND_ACCOUNT >/dev/null || act groupadd --system $OPEND_ACCOUNT
    make_account $OPEND_ACCOUNT /var/lib/futu-opend
}

make_account() {
    local name=$1 home=$2
    getent passwd "$name" >/dev/null && return
    say "account $name"
    act useradd --system --gid "$name" --home-dir "$home" --no-create-home --shell /usr/sbin/nologin "$name"
}

make_directories() {
    act install -d -m 0755 "$HOME_DIR" "$RELEASES"
    [ -d "$(dirname $DATA_DIR)" ] || act install -d -m 0755 "$(dirname $DATA_DIR)"
    act install -d -o $ACCOUNT -g $ACCOUNT -m 0750 $DATA_DIR
}

# Settings are the operator's: made once, never overwritten; only who may read them is set right.
make_settings() {
    if [ ! -e $ENV_FILE ]; then
        say "settings $ENV_FILE, from the example"
        act install -o root -g $ACCOUNT -m 0640 "$SOURCE/.env.example" $ENV_FILE
    else
        say "settings $ENV_FILE: kept"
        act chown root:$ACCOUNT $ENV_FILE
        act chmod 0640 $ENV_FILE
    fi
    [ -e $OPEND_FILE ] || act install -o root -g root -m 0640 "$SOURCE/deploy/default/futu-opend" $OPEND_FILE
}

# ---- a release ------------------------------------------------------------------------------------------------------

# VERSION-DIGEST of what this checkout would install: equal sources have equal names.
release_name() {
    local version digest
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$SOURCE/src/hk_tick_collector/__init__.py")
    digest=$(cd "$SOURCE" && list_sources | xargs -0 sha256sum | sha256sum)
    printf '%s-%s\n' "$version" "${digest:0:10}"
}

list_sources() {
    local each
    for each in "${SOURCES[@]}"; do
        [ ! -e "$each" ] || find "$each" -name __pycache__ -prune -o -type f -print0
    done | LC_ALL=C sort -z
}

current_release() { [ ! -L $CURRENT ] || basename "$(readlink $CURRENT)"; }

# Whole: it was finished, and its Python is still there.
is_whole() { [ -e "$RELEASES/$1/.whole" ] && "$RELEASES/$1/.venv/bin/$UNIT" --version >/dev/null 2>&1; }

build_release() {
    local release=$1 directory=$RELEASES/$1
    if is_whole "$release"; then
        say "version $release: is here already"
        return
    fi
    check_space
    say "version $release: into $directory"
    if $DRY_RUN; then
        act "$PYTHON" -m venv "$directory/.venv"
        act "$directory/.venv/bin/python" -m pip install --require-hashes -r requirements/runtime.txt
        act "$directory/.venv/bin/python" -m pip install "$SOURCE"
        return
    fi
    BUILDING=$directory
    rm -rf "$directory"
    install -d -m 0755 "$directory"
    "$PYTHON" -m venv "$directory/.venv" >>"$LOG" 2>&1 || die "could not make $directory/.venv: $(last_log_line)"
    fill_venv "$directory/.venv/bin/python"
    copy_files "$directory"
    "$directory/.venv/bin/$UNIT" --version >>"$LOG" 2>&1 || die "the program does not start: $(last_log_line)"
    touch "$directory/.whole"
    BUILDING=
}

# Packages with the hashes of requirements/runtime.txt and no others, then ours, built without fetching anything.
fill_venv() {
    local python=$1 offline=()
    [ -z "$WHEELHOUSE" ] || offline=(--no-index --find-links "$WHEELHOUSE")
    run_pip "$python" install "${offline[@]}" --require-hashes --only-binary :all: -r "$SOURCE/requirements/runtime.txt"
    run_pip "$python" install --no-index --no-deps --no-build-isolation "$SOURCE"
}

run_pip() {
    local python=$1
    shift
    "$python" -m pip --disable-pip-version-check --no-input --no-cache-dir --retries 2 "$@" >>"$LOG" 2>&1 && return
    if grep -q 'No space left on device' "$LOG"; then
        die "the disk is full: make room at $HOME_DIR and run this again"
    elif grep -q 'DO NOT MATCH THE HASHES' "$LOG"; then
        die "a package does not match its hash in requirements/runtime.txt, nothing of it is used: see $LOG"
    elif [ -n "$WHEELHOUSE" ]; then
        die "$WHEELHOUSE lacks a package ($(last_log_line)): fill it anew with 'make wheelhouse', with the Python of this host"
    fi
    die "could not fetch the Python packages ($(last_log_line)): without a network bring them along, 'make wheelhouse' on another host and --wheelhouse DIR here; all of it is in $LOG"
}

last_log_line() { grep -v '^[[:space:]]*$' "$LOG" | tail -n 1 | cut -c 1-200; }

copy_files() {
    local directory=$1 each
    for each in deploy scripts docs .env.example LICENSE; do
        [ ! -e "$SOURCE/$each" ] || cp -R --no-preserve=ownership "$SOURCE/$each" "$directory/"
    done
    chmod -R u=rwX,go=rX "$directory"
}

# The one step that changes which version is in force.
switch_to() {
    act ln -sfn "releases/$1" $CURRENT.new
    act mv -T $CURRENT.new $CURRENT
}

place_links() {
    local name
    for name in "${LINKS[@]}"; do place_link "$HOME_DIR/$name" "current/$name"; done
    act install -d -m 0755 "$(dirname $COMMAND)"
    place_link $COMMAND "$HOME_DIR/.venv/bin/$UNIT"
}

place_link() {
    local link=$1 target=$2
    [ -L "$link" ] && [ "$(readlink "$link")" = "$target" ] && return
    if [ -e "$link" ] && [ ! -L "$link" ]; then
        warn "$link was not ours: moved to $link.before-install"
        act mv -T --backup=numbered "$link" "$link.before-install"
    fi
    act ln -sfn "$target" "$link"
}

remove_old_releases() {
    local keep=" $* " name kept=$#
    while read -r name; do
        [[ $keep == *" $name "* ]] && continue
        kept=$((kept + 1))
        [ $kept -le $KEPT_RELEASES ] || act rm -rf "${RELEASES:?}/$name"
    done < <(ls -1t $RELEASES)
}

# ---- units ----------------------------------------------------------------------------------------------------------

units_of() { [ ! -d "$1/deploy/systemd" ] || find "$1/deploy/systemd" -maxdepth 1 -type f -printf '%f\n' | sort; }

# change_units FROM TO: units as the tree TO ships them, where they are as FROM shipped them or not there at all. One that
# the operator changed is kept.
change_units() {
    local from=$1 to=$2 name installed
    for name in $({ units_of "$from"; units_of "$to"; } | sort -u); do
        installed=$UNIT_DIR/$name
        if [ -e "$installed" ] && cmp -s "$installed" "$to/deploy/systemd/$name"; then
            continue
        elif [ ! -e "$to/deploy/systemd/$name" ]; then
            remove_unit "$name"
        elif [ ! -e "$installed" ]; then
            say "unit $name"
            act install -m 0644 "$to/deploy/systemd/$name" "$installed"
        elif cmp -s "$installed" "$from/deploy/systemd/$name"; then
            say "unit $name: changed with the version"
            [ "$name" != futu-opend.service ] || say "OpenD keeps running as it is; the change counts from its next start"
            act install -m 0644 "$to/deploy/systemd/$name" "$installed"
        elif [ "$from" = /nonexistent ]; then
            warn "$installed was not ours: moved to $installed.before-install"
            act mv -T --backup=numbered "$installed" "$installed.before-install"
            act install -m 0644 "$to/deploy/systemd/$name" "$installed"
        else
            warn "$installed was changed by hand and is kept; what the version ships: $HOME_DIR/deploy/systemd/$name"
        fi
    done
    act systemctl daemon-reload
}

remove_unit() {
    [ -e "$UNIT_DIR/$1" ] || return 0
    act systemctl disable --now "$1"
    act rm -f "$UNIT_DIR/$1"
}

enable_timers() {
    local name
    for name in $(units_of "$SOURCE" | grep '\.timer$'); do
        systemctl is-enabled --quiet "$name" 2>/dev/null || act systemctl enable --quiet --now "$name"
    done
}

# ---- installing and upgrading ---------------------------------------------------------------------------------------

install_or_upgrade() {
    local new old
    check_source
    new=$(release_name)
    old=$(current_release)
    if [ "$ACTION" = install ] && [ -n "$old" ] && [ "$old" != "$new" ]; then
        require "version $old is installed and this checkout is $new: run it with --upgrade"
    fi
    install_packages
    check_python
    make_accounts
    make_directories
    make_settings
    build_release "$new"
    if [ -z "$old" ] || [ "$old" = "$new" ]; then
        put_in_force "$new" "${old:+$RELEASES/$old}"
        next_steps
    else
        upgrade "$old" "$new"
    fi
}

put_in_force() {
    local new=$1 from=${2:-/nonexistent} fresh=true
    [ ! -e "$UNIT_DIR/$UNIT-snapshot.timer" ] || fresh=false
    switch_to "$new"
    place_links
    change_units "$from" "$SOURCE"
    ! $fresh || enable_timers # one that the operator turned off stays off
}

upgrade() {
    local old=$1 new=$2 before reason
    say "from $old to $new"
    check_settings "$new"
    if [[ $(systemctl is-active $UNIT 2>/dev/null) =~ ^(inactive|failed|unknown|)$ ]]; then
        put_in_force "$new" "$RELEASES/$old"
        say "upgraded to $new; the service was not running, and was not started. Start it: sudo systemctl start $UNIT"
        return
    fi
    before=$(live_state "$old")
    trap : INT TERM HUP # no half upgrade: it goes to its end, or back
    put_in_force "$new" "$RELEASES/$old"
    $DRY_RUN && { act systemctl restart $UNIT; say "would look whether it comes up, and go back to $old if not"; return; }
    if reason=$(restart_and_look "$new" "$before"); then
        remove_old_releases "$new" "$old"
        say "upgraded to $new, which is up and well; $old is kept in $RELEASES"
    else
        roll_back "$old" "$new" "$before" "${reason:-it was interrupted}"
    fi
}

roll_back() {
    local old=$1 new=$2 before=$3 reason=$4
    warn "$new did not come up: $reason"
    journalctl --unit=$UNIT --no-pager --quiet --lines=8 --output=cat 2>/dev/null | sed 's/^/    /' >&2 || true
    switch_to "$old"
    change_units "$RELEASES/$new" "$RELEASES/$old"
    if reason=$(restart_and_look "$old" "$before"); then
        rm -rf "${RELEASES:?}/$new"
        die "rolled back: $old runs again as before; $new was removed"
    fi
    die "rolled back to $old, which does not come up either ($reason): sudo systemctl status $UNIT --no-pager"
}

# The settings must please the new version before the running one is touched.
check_settings() {
    local release=$1 complaint
    $DRY_RUN && return
    complaint=$(cd $HOME_DIR && setpriv --reuid=$ACCOUNT --regid=$ACCOUNT --init-groups env -i PATH="$PATH" \
        "$RELEASES/$release/.venv/bin/$UNIT" config --json 2>&1 >/dev/null) ||
        die "$release does not take the settings, nothing was changed: ${complaint:-$UNIT config}"
}

# What `status` says, as one line of JSON; {} when it says nothing. Its exit code is of no interest here.
live_state() {
    local said
    said=$(cd $HOME_DIR && "$RELEASES/$1/.venv/bin/$UNIT" status --json 2>/dev/null) || true
    printf '%s\n' "${said:-{\}}"
}

# Restarts the service and says why it is not well; silent and successful when it is.
restart_and_look() {
    local release=$1 before=$2 good=0 pid pid_before='' reason='' until=$((SECONDS + HEALTH_S))
    timeout $((HEALTH_S + 300)) systemctl restart $UNIT >>"$LOG" 2>&1 || { reason_down; return 1; }
    while [ $SECONDS -lt $until ]; do
        [ "$(systemctl is-failed $UNIT)" != failed ] || { reason_down; return 1; }
        pid=$(systemctl show --property=MainPID --value $UNIT)
        if reason=$(live_state "$release" | is_well "$release" "$pid" "$before") && [ "$pid" != 0 ]; then
            [ "$pid" = "$pid_before" ] && good=$((good + 1)) || good=1
            pid_before=$pid
            [ $good -lt $GOOD_LOOKS ] || return 0
        else
            good=0
        fi
        sleep 2
    done
    echo "after $HEALTH_S s: ${reason:-it does not stay up}"
    return 1
}

# How it ended, and the last that it told systemd of itself.
reason_down() {
    local state code words
    state=$(systemctl is-active $UNIT || true)
    code=$(systemctl show --property=ExecMainStatus --value $UNIT)
    words=$(systemctl show --property=StatusText --value $UNIT)
    echo "it is $state, exit code $code${words:+, its last word: $words}"
}

# status --json on stdin: is this process alive and no worse off than the one before? Otherwise says what is wrong.
is_well() {
    "$RELEASES/$1/.venv/bin/python" -c '
import json, sys
now, before, pid = json.load(sys.stdin), json.loads(sys.argv[2]), int(sys.argv[1])
live, lived = now.get("live") or {}, before.get("live") or {}
if live.get("pid") != pid:
    sys.exit("the new process has not reported yet")
if lived.get("connected") and not live["connected"]:
    sys.exit("it does not reach OpenD, which the old one did")
known = {each["code"] for each in before.get("findings", [])}
for each in now.get("findings", []):
    if each["severity"] in ("CRITICAL", "UNKNOWN") and each["code"] not in known:
        sys.exit(each["severity"] + ": " + each["text"])
' "$2" "$3" 2>&1
}

next_steps() {
    local verb=start
    [ ${#MISSING[@]} -eq 0 ] || warn "still missing for the runbook: sudo apt-get install ${MISSING[*]}"
    $DRY_RUN && { say "dry run: nothing was changed"; return; }
    systemctl is-enabled --quiet $UNIT 2>/dev/null || verb="enable --now"
    cat <<END

Installed. The next three commands:

  sudo vim $ENV_FILE     # FUTU_SYMBOLS at least; OpenD's program: $OPEND_FILE
  sudo systemctl $verb futu-opend $UNIT
  sudo $UNIT status

Who is to look without sudo: sudo usermod -aG $ACCOUNT,systemd-journal NAME (and log in anew).
END
}

# ---- uninstalling ---------------------------------------------------------------------------------------------------

uninstall() {
    local name
    for name in $UNIT-snapshot.timer $UNIT-report.timer $UNIT-snapshot.service $UNIT-report.service $UNIT.service futu-opend.service; do
        [ ! -e "$UNIT_DIR/$name" ] || cmp -s "$UNIT_DIR/$name" "$HOME_DIR/deploy/systemd/$name" ||
            act cp --backup=numbered "$UNIT_DIR/$name" "$UNIT_DIR/$name.before-uninstall"
        remove_unit "$name"
    done
    act systemctl daemon-reload
    [ "$(readlink $COMMAND 2>/dev/null)" != "$HOME_DIR/.venv/bin/$UNIT" ] || act rm -f $COMMAND
    for name in "${LINKS[@]}" current; do
        [ ! -L "$HOME_DIR/$name" ] || act rm -f "${HOME_DIR:?}/$name"
    done
    act rm -rf "$RELEASES" "$HOME_DIR/install.log" /run/$UNIT
    $DRY_RUN && { say "dry run: nothing was changed"; return; }
    say "uninstalled. These stay: ticks in $DATA_DIR, settings $ENV_FILE and $OPEND_FILE, accounts $ACCOUNT and $OPEND_ACCOUNT (and drop-ins of units, where there are any)"
}

# ---- and all together -----------------------------------------------------------------------------------------------

clean_up() {
    [ -z "$BUILDING" ] || rm -rf "$BUILDING"
}

main() {
    parse_arguments "$@"
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    trap 'printf "%s: stopped at line %s: %s\n" "$PROGRAM" "$LINENO" "$BASH_COMMAND" >&2' ERR
    LOG=/dev/null
    check_host
    lock
    if [ "$ACTION" = uninstall ]; then
        uninstall
        return
    fi
    if ! $DRY_RUN; then
        install -d -m 0755 $HOME_DIR
        LOG=$HOME_DIR/install.log
        : >"$LOG"
    fi
    install_or_upgrade
}

main "$@"
