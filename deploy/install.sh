#!/usr/bin/env bash
# install.sh: installs hk-tick-collector on this Debian 12 host, to run under systemd. See --help.
#
# lib/trust.sh: checks that only root can change what root executes. lib/upgrade.sh: from one version to another and back.
# lib/predecessor.sh: a host that had another program with these names. day_files.py: day files when their schema changes.
#
# Each version has a directory of its own below releases/; `current` is a link to the one in force, and .venv, scripts,
# docs and deploy are links through it. So one link changes the version, and changes it back.
# Every step can be repeated: it does not change what is already right.
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
readonly NATS_ACCOUNT=hk-nats
readonly NATS_FILE=/etc/hk-nats/nats.conf
readonly MERGED_DIR=/data/sqlite/HK-merged
readonly STREAM_UNITS=(hk-tick-publish hk-tick-merge hk-nats)
readonly LINKS=(.venv scripts docs deploy)
readonly PAGES=(README.md README.zh-Hant.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md) # docs/ links to them
readonly SOURCES=(src pyproject.toml "${PAGES[@]}" LICENSE requirements/runtime.txt requirements/data.txt requirements/lake.txt requirements/stream.txt requirements/cluster.txt requirements/web.txt tools/version.py .env.example deploy scripts docs examples)
readonly PACKAGES=(sqlite3 lsof psmisc netcat-openbsd python3-venv)
readonly NEEDED_MB=400      # a release takes about a third of it, and an upgrade needs two at once
readonly EXTRAS_MB=800      # more with --extras, for two versions at once
readonly LOOK_S=${LOOK_S:-70}  # a new version is watched for this long
readonly GOOD_LOOKS=3       # this many good checks in a row, at the end
readonly KEPT_RELEASES=3
PYTHON=${PYTHON:-python3}
[[ $PYTHON != */* ]] || PYTHON=$(realpath -s "$PYTHON")

SOURCE=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly SOURCE
ACTION=install
DRY_RUN=false
WHEELHOUSE=
EXTRAS=           # of data, lake, stream and web, with commas: optional packages that are installed as well; empty: none
ROLES=            # of collector, merge and nats, with commas: what this host does
GIVEN_ROLES=      # the same from the command line; empty: as the installed version has them
GIVEN_EXTRAS=     # the same from the command line, where none means none; empty: as the installed version has them
CHOSEN_LANG=      # OPERATOR_LANG of a new settings file; empty: from the locale
# shellcheck source=deploy/lib/trust.sh disable=SC1091
. "$SOURCE/deploy/lib/trust.sh"
# shellcheck source=deploy/lib/upgrade.sh disable=SC1091
. "$SOURCE/deploy/lib/upgrade.sh"
# shellcheck source=deploy/lib/predecessor.sh disable=SC1091
. "$SOURCE/deploy/lib/predecessor.sh"

FINISH=false      # a change of version was interrupted, or the running version is not the installed one
BUILDING=         # a release that is not complete yet
MISSING=()        # Debian packages that could not be installed; the collector runs without them

usage() {
    cat <<END
Usage: sudo bash deploy/install.sh [--upgrade | --uninstall] [--wheelhouse DIR] [--role collector,merge,nats]
                                   [--extras data,lake,stream,web|none] [--lang en|zh-Hant] [--dry-run]

Installs hk-tick-collector as a systemd service on Debian 12: packages, account, $HOME_DIR,
$DATA_DIR, units. Never overwrites $ENV_FILE. Can be run again at any time.

  --upgrade         changes to the version of this checkout: restarts the service, watches it for a minute, and
                    restores the old version if it does not keep running; also completes an interrupted upgrade
  --uninstall       removes service and program; ticks, settings and accounts are kept
  --wheelhouse DIR  takes Python packages (and *.deb, if any) from DIR instead of the network;
                    'make wheelhouse' creates it on a host with a network
  --role ROLES      what this host does: collector (the default), merge (the union of several hosts), nats (a server
                    of JetStream between them), or several: collector,nats; docs/cluster.md; an upgrade keeps
                    them unless this says others. Nothing of merge and nats runs until its unit is enabled
  --extras EXTRAS   also installs the packages for archive, export and bars (data, 230 MB), for an archive in an
                    object store (lake, 380 MB), for publish, merge and tail (stream, 15 MB), or for the page (web,
                    5 MB), or for several: data,web; they come to those that are installed, which an upgrade keeps
                    unless this says none
  --lang LANG       the language of status, alerts and doctor, en or zh-Hant, for a new $ENV_FILE;
                    without it the installer asks if it runs in a terminal, otherwise the locale decides
  --dry-run         shows what would be done and changes nothing; needs no root
  --help            shows this text

Example: sudo bash deploy/install.sh --wheelhouse ./wheelhouse
END
}

# Errors are ignored: an upgrade continues to its end even if the terminal has been closed.
say() { printf '%s: %s\n' "$PROGRAM" "$*" || true; }
warn() { printf '%s: WARNING: %s\n' "$PROGRAM" "$*" >&2 || true; }
die() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; exit 1; }
wrong_usage() { printf '%s: %s: see --help\n' "$PROGRAM" "$*" >&2; exit 2; }

# A condition for going on; a dry run only reports it.
require() {
    local what=$1
    if $DRY_RUN; then say "would stop here: $what"; else die "$what"; fi
}

# Runs a command; a dry run only prints it.
act() {
    if $DRY_RUN; then printf '  would run: %s\n' "$*"; else "$@"; fi
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --upgrade | --uninstall | --takeover) # the last is only for the unit's first start: lib/predecessor.sh
                [ "$ACTION" = install ] || wrong_usage "$1 and --$ACTION exclude each other"
                ACTION=${1#--}
                ;;
            --wheelhouse)
                [ -n "${2:-}" ] || wrong_usage "--wheelhouse needs a directory"
                WHEELHOUSE=$2
                shift
                ;;
            --wheelhouse=) wrong_usage "--wheelhouse needs a directory" ;;
            --wheelhouse=*) WHEELHOUSE=${1#*=} ;;
            --lang)
                [ -n "${2:-}" ] || wrong_usage "--lang needs en or zh-Hant"
                CHOSEN_LANG=$2
                shift
                ;;
            --extras)
                [ -n "${2:-}" ] || wrong_usage "--extras needs data, lake, stream, web or none"
                GIVEN_EXTRAS=$2
                shift
                ;;
            --extras=) wrong_usage "--extras needs data, lake, stream, web or none" ;;
            --extras=*) GIVEN_EXTRAS=${1#*=} ;;
            --role)
                [ -n "${2:-}" ] || wrong_usage "--role needs collector, merge or nats"
                GIVEN_ROLES=$2
                shift
                ;;
            --role=) wrong_usage "--role needs collector, merge or nats" ;;
            --role=*) GIVEN_ROLES=${1#*=} ;;
            --lang=) wrong_usage "--lang needs en or zh-Hant" ;;
            --lang=*) CHOSEN_LANG=${1#*=} ;;
            --dry-run) DRY_RUN=true ;;
            --help | -h) usage; exit 0 ;;
            *) wrong_usage "unknown argument '$1'" ;;
        esac
        shift
    done
    case $CHOSEN_LANG in
        "" | en | zh-Hant) ;;
        *) wrong_usage "--lang '$CHOSEN_LANG' is neither en nor zh-Hant" ;;
    esac
    local each
    for each in ${GIVEN_EXTRAS//,/ }; do
        case $each in
            data | lake | stream | web) ;;
            none) [ "$GIVEN_EXTRAS" = none ] || wrong_usage "--extras '$GIVEN_EXTRAS': none stands alone" ;;
            *) wrong_usage "--extras '$each' is none of data, lake, stream, web, none" ;;
        esac
    done
    for each in ${GIVEN_ROLES//,/ }; do
        case $each in
            collector | merge | nats) ;;
            *) wrong_usage "--role '$each' is none of collector, merge, nats" ;;
        esac
    done
    [ "$ACTION" != uninstall ] || [ -z "$GIVEN_ROLES" ] || wrong_usage "--uninstall needs no --role"
    [ "$ACTION" != uninstall ] || [ -z "$GIVEN_EXTRAS" ] || wrong_usage "--uninstall needs no --extras"
    [ "$ACTION" != uninstall ] || [ -z "$CHOSEN_LANG" ] || wrong_usage "--uninstall needs no --lang"
    [ "$ACTION" != uninstall ] || [ -z "$WHEELHOUSE" ] || wrong_usage "--uninstall needs no --wheelhouse"
    [ -n "$WHEELHOUSE" ] || return 0
    compgen -G "$WHEELHOUSE/*.whl" >/dev/null ||
        wrong_usage "--wheelhouse '$WHEELHOUSE' has no *.whl: create it with 'make wheelhouse' on a host with a network"
    WHEELHOUSE=$(cd "$WHEELHOUSE" && pwd)
}

# ---- requirements of the host ------------------------------------------------------------------------------------------

check_host() {
    [ "$(id -u)" -eq 0 ] || require "this needs root: sudo bash deploy/install.sh"
    command -v apt-get >/dev/null || require "this is not Debian (no apt-get): use Debian 12 or newer, or install by hand as README.md and deploy/ show"
    [ -d /run/systemd/system ] || require "systemd does not run here: boot the host with systemd"
}

check_source() {
    local each
    for each in src pyproject.toml requirements/runtime.txt requirements/data.txt requirements/lake.txt requirements/stream.txt requirements/cluster.txt requirements/web.txt tools/version.py; do
        [ -e "$SOURCE/$each" ] ||
            die "$SOURCE has no sources (no $each): run deploy/install.sh of a checkout; only --uninstall works here"
    done
}

check_python() {
    local version
    command -v "$PYTHON" >/dev/null || { require "there is no $PYTHON: sudo apt-get install python3-venv"; return; }
    demand_roots "$(command -v "$PYTHON")" "$PYTHON"
    version=$("$PYTHON" -I -c 'import platform; print(platform.python_version())') || die "$PYTHON does not run"
    "$PYTHON" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        require "Python 3.11 or newer is needed, $PYTHON is $version: use another, sudo PYTHON=/path/to/python3.11 bash deploy/install.sh"
    "$PYTHON" -I -c 'import ensurepip, venv' 2>/dev/null || will_have_venv ||
        require "$PYTHON has no venv module: sudo apt-get install python3-venv"
}

# In a dry run nothing was installed: Debian's Python gets its module from a package that the real run installs first.
will_have_venv() { $DRY_RUN && [ "$PYTHON" = python3 ] && missing_packages | grep -qx python3-venv; }

check_space() {
    local place=$HOME_DIR free_mb
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    free_mb=$(df --output=avail --block-size=1M "$place" | tail -n 1)
    local needed_mb=$NEEDED_MB
    [[ ! $EXTRAS =~ data|lake ]] || needed_mb=$((NEEDED_MB + EXTRAS_MB))
    [ "$free_mb" -ge "$needed_mb" ] ||
        require "the disk is full: $((free_mb)) MB free at $place, $needed_mb MB are needed; sudo du -xh -d 2 $place | sort -h shows what takes the space"
}

# One installer at a time. Not in /run/lock, where every user may create a link.
lock() {
    $DRY_RUN && return
    exec 9>>/run/$UNIT-install.lock
    flock --wait "$1" 9 || die "another $PROGRAM is running: wait for it"
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
    [ -z "$(dpkg --audit 2>/dev/null)" ] || dpkg --configure -a >>"$LOG" 2>&1 || true # an earlier run was killed
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
    has_role nats || return 0
    getent group $NATS_ACCOUNT >/dev/null || act groupadd --system $NATS_ACCOUNT
    make_account $NATS_ACCOUNT /var/lib/hk-nats
}

make_account() {
    local name=$1 home=$2
    getent passwd "$name" >/dev/null && return
    say "account $name"
    act useradd --system --gid "$name" --home-dir "$home" --no-create-home --shell /usr/sbin/nologin "$name"
}

make_directories() {
    [ -d "$(dirname $DATA_DIR)" ] || act install -d -m 0755 "$(dirname $DATA_DIR)"
    if [ -d $DATA_DIR ] && ! $DRY_RUN; then
        (enter_data && chown $ACCOUNT:$ACCOUNT . && chmod 0750 .)
    else
        act install -d -o $ACCOUNT -g $ACCOUNT -m 0750 $DATA_DIR
    fi
    ! has_role merge || [ -d $MERGED_DIR ] || act install -d -o $ACCOUNT -g $ACCOUNT -m 0750 $MERGED_DIR
}

has_role() { [[ ,$ROLES, == *,$1,* ]]; }

# The settings of the server belong to the operator: created once, never overwritten. They may name a key.
make_nats_settings() {
    has_role nats || return 0
    act install -d -m 0755 "$(dirname $NATS_FILE)"
    if [ -e $NATS_FILE ]; then
        say "settings $NATS_FILE: kept"
    else
        say "settings $NATS_FILE, from the example"
        put_file root:$NATS_ACCOUNT 0640 "$SOURCE/deploy/nats/nats.conf" $NATS_FILE
    fi
}

# The language of a new settings file: from --lang, else the operator's answer, else this locale. systemd may start the
# service with another locale, or none, so Chinese is written into the file.
choose_language() {
    local answer="" locale=${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}
    [ -z "$CHOSEN_LANG" ] || return 0
    [[ $locale != zh* ]] || CHOSEN_LANG=zh-Hant
    if [ -t 0 ] && [ -t 1 ] && ! $DRY_RUN; then
        printf '%s: language of status, alerts and doctor / 狀態與告警的語言: en, zh-Hant [%s] ' "$PROGRAM" "${CHOSEN_LANG:-en}"
        read -r -t 60 answer || echo
        case $answer in
            en | zh-Hant) CHOSEN_LANG=$answer ;;
            "") ;;
            *) warn "'$answer' is neither en nor zh-Hant: OPERATOR_LANG=${CHOSEN_LANG:-en}; $ENV_FILE keeps it" ;;
        esac
    fi
}

# Settings belong to the operator: created once, never overwritten; only their permissions are corrected.
make_settings() {
    [ ! -e $ENV_FILE ] || [ -z "$CHOSEN_LANG" ] ||
        warn "--lang applies to a new file only: write OPERATOR_LANG=$CHOSEN_LANG into $ENV_FILE"
    if [ ! -e $ENV_FILE ]; then
        say "settings $ENV_FILE, from the example"
        put_file root:$ACCOUNT 0640 "$SOURCE/.env.example" $ENV_FILE
        choose_language
        [ -z "$CHOSEN_LANG" ] || act sed -i "s/^#OPERATOR_LANG=.*/OPERATOR_LANG=$CHOSEN_LANG/" $ENV_FILE
        has_role collector || act sed -i 's/^FUTU_SYMBOLS=/#&/' $ENV_FILE # without it `status` judges the union
        ! has_role merge || act sed -i "s|^#MERGE_ROOT=.*|MERGE_ROOT=$MERGED_DIR|" $ENV_FILE
    elif $FOREIGN; then
        say "settings $ENV_FILE: kept, with its owner and mode until it is taken over"
    else
        say "settings $ENV_FILE: kept"
        # A file of another account is copied: that account may have it open for writing.
        [ "$(stat -c %u $ENV_FILE)" -eq 0 ] || put_file root:$ACCOUNT 0640 $ENV_FILE $ENV_FILE
        act chown root:$ACCOUNT $ENV_FILE
        act chmod 0640 $ENV_FILE
    fi
    [ "$ACTION" != takeover ] || return 0
    adopt_opend
    [ -e $OPEND_FILE ] || is_foreign_opend_unit || put_file root:root 0640 "$SOURCE/deploy/default/futu-opend" $OPEND_FILE
}

# ---- a release ------------------------------------------------------------------------------------------------------

# VERSION-DIGEST of the sources and extras that this checkout installs: the same ones have the same name.
release_name() {
    local version digest
    version=$(/usr/bin/python3 -I "$SOURCE/tools/version.py" 2>/dev/null) || # the host may have no Python yet
        version=$(sed -n 's/^NEXT_VERSION = "\(.*\)"$/\1/p' "$SOURCE/src/hk_tick_collector/__init__.py")
    # A server of JetStream is a package too; the other roles change no file.
    digest=$(cd "$SOURCE" && { list_sources | xargs -0 sha256sum; printf '%s' "$EXTRAS"; ! has_role nats || printf nats; } | sha256sum)
    printf '%s-%s\n' "$version" "${digest:0:10}"
}

list_sources() {
    local each
    for each in "${SOURCES[@]}"; do
        [ ! -e "$each" ] || find "$each" -name __pycache__ -prune -o -type f -print0
    done | LC_ALL=C sort -z
}

current_release() { [ ! -L $CURRENT ] || basename "$(readlink $CURRENT)"; }

# Complete: root finished it, nobody else can have changed it, and its Python still exists.
is_whole() {
    [ -e "$RELEASES/$1/.whole" ] && is_roots_tree "$RELEASES/$1" &&
        "$RELEASES/$1/.venv/bin/$UNIT" --version >/dev/null 2>&1
}

# The lock files of the packages to install: that of an extra has those of runtime.txt too, in the same versions.
lock_files() {
    local each
    for each in ${EXTRAS//,/ }; do printf 'requirements/%s.txt\n' "$each"; done
    ! has_role nats || printf 'requirements/cluster.txt\n'
    [ -n "$EXTRAS" ] || has_role nats || printf 'requirements/runtime.txt\n'
}

# What --role says, else what the host did until now. A role ends only when its unit is off: its program is removed.
choose_roles() {
    local each had= wanted
    [ ! -f $CURRENT/.roles ] || ! is_roots $CURRENT/.roles || had=$(<$CURRENT/.roles)
    wanted=,${GIVEN_ROLES:-${had:-collector}},
    ROLES=
    for each in collector merge nats; do
        [[ $wanted != *,$each,* ]] || ROLES=${ROLES:+$ROLES,}$each
    done
    for each in merge nats; do
        [[ ,$had, == *,$each,* ]] && ! has_role $each || continue
        [ $each = nats ] && each=hk-nats || each=hk-tick-merge
        ! systemctl is-enabled --quiet $each 2>/dev/null ||
            require "--role $GIVEN_ROLES ends a role whose unit is enabled: sudo systemctl disable --now $each"
    done
}

# What the installed version has, and what --extras says; none of them after --extras none.
choose_extras() {
    local each had= wanted
    [ ! -f $CURRENT/.extras ] || ! is_roots $CURRENT/.extras || had=$(<$CURRENT/.extras)
    wanted=,$had,$GIVEN_EXTRAS,
    [ "$GIVEN_EXTRAS" != none ] || wanted=
    ! has_role merge || wanted=$wanted,stream,
    EXTRAS=
    for each in data lake stream web; do
        [[ $wanted != *,$each,* ]] || EXTRAS=${EXTRAS:+$EXTRAS,}$each
    done
}

build_release() {
    local release=$1 directory=$RELEASES/$1 locks
    if is_whole "$release"; then
        say "version $release: already installed"
        $DRY_RUN || write_roles "$directory"
        return
    fi
    check_space
    say "version $release: into $directory"
    if $DRY_RUN; then
        mapfile -t locks < <(lock_files)
        act "$PYTHON" -I -m venv "$directory/.venv"
        act "$directory/.venv/bin/python" -m pip install --require-hashes "${locks[@]/#/-r }"
        act "$directory/.venv/bin/python" -m pip install "$SOURCE"
        return
    fi
    BUILDING=$directory
    rm -f "$directory/.whole"
    rm -rf "$directory"
    install -d -m 0755 "$directory"
    "$PYTHON" -I -m venv "$directory/.venv" >>"$LOG" 2>&1 || die "could not make $directory/.venv: $(last_log_line)"
    fill_venv "$directory/.venv/bin/python"
    copy_files "$directory"
    "$directory/.venv/bin/$UNIT" --version >>"$LOG" 2>&1 || die "the program does not start: $(last_log_line)"
    [ -z "$EXTRAS" ] || printf '%s\n' "$EXTRAS" >"$directory/.extras"
    write_roles "$directory"
    touch "$directory/.whole"
    BUILDING=
}

write_roles() { printf '%s\n' "$ROLES" >"$1/.roles"; }

# Only packages with the hashes of the lock file, then ours, built without the network.
fill_venv() {
    local python=$1 offline=() locks each
    [ -z "$WHEELHOUSE" ] || offline=(--no-index --find-links "$WHEELHOUSE")
    mapfile -t locks < <(lock_files)
    for each in "${locks[@]}"; do # one after the other: pip takes no package from two lists
        run_pip "$python" install "${offline[@]}" --require-hashes --only-binary :all: -r "$SOURCE/$each"
    done
    run_pip "$python" install --no-index --no-deps --no-build-isolation "$SOURCE"
}

run_pip() {
    local python=$1
    shift
    "$python" -I -m pip --disable-pip-version-check --no-input --no-cache-dir --retries 2 "$@" >>"$LOG" 2>&1 && return
    if grep -q 'No space left on device' "$LOG"; then
        die "the disk is full: free some space at $HOME_DIR and run this again"
    elif grep -q 'DO NOT MATCH THE HASHES' "$LOG"; then
        die "a package does not match its hash in $(lock_files | tr '\n' ' ')and is not used: see $LOG"
    elif [ -n "$WHEELHOUSE" ]; then
        die "$WHEELHOUSE lacks a package ($(last_log_line)): create it again with 'make wheelhouse$(wheelhouse_extras)', with the same Python version as on this host"
    fi
    die "could not download the Python packages ($(last_log_line)): without a network, run 'make wheelhouse' on another host and use --wheelhouse DIR here; details are in $LOG"
}

# How `make wheelhouse` collects what this host needs.
wheelhouse_extras() {
    local all=$EXTRAS
    ! has_role nats || all=${all:+$all,}cluster
    [ -z "$all" ] || printf ' EXTRAS=%s' "$all"
}

last_log_line() { grep -v '^[[:space:]]*$' "$LOG" | tail -n 1 | cut -c 1-200; }

copy_files() {
    local directory=$1 each
    for each in deploy scripts docs examples "${PAGES[@]}" .env.example LICENSE; do
        [ ! -e "$SOURCE/$each" ] || cp -R --no-preserve=ownership "$SOURCE/$each" "$directory/"
    done
    chmod -R u=rwX,go=rX "$directory"
}

# The single step that changes the version in force.
switch_to() {
    act rm -rf $CURRENT.new
    act ln -sfn "releases/$1" $CURRENT.new
    act mv -T $CURRENT.new $CURRENT
}

place_links() {
    local name
    [ "$FOREIGN" = false ] || [ "$ACTION" = takeover ] ||
        { say "the running program keeps its files in $HOME_DIR until the takeover"; place_command; return; }
    for name in "${LINKS[@]}"; do place_link "$HOME_DIR/$name" "current/$name"; done
    place_command
}

place_command() {
    act install -d -m 0755 "$(dirname $COMMAND)"
    place_link $COMMAND "$CURRENT/.venv/bin/$UNIT"
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

# change_units FROM TO: installs the units of the tree TO, if the present ones are those of FROM or of a kept version, or
# do not exist. A unit that the operator changed is kept, and so is a unit of OpenD that is not ours.
change_units() {
    local from=$1 to=$2 name installed timers=()
    for name in $({ units_of "$from"; units_of "$to"; } | sort -u); do
        installed=$UNIT_DIR/$name
        if [ -e "$installed" ] && cmp -s "$installed" "$to/deploy/systemd/$name"; then
            continue
        elif [ ! -e "$to/deploy/systemd/$name" ]; then
            remove_unit "$name"
        elif [ ! -e "$installed" ]; then
            say "unit $name"
            put_file root:root 0644 "$to/deploy/systemd/$name" "$installed"
            # A timer that is new with this version. Those of a first installation are enabled at its end.
            [[ $from = /nonexistent || $name != *.timer || -e $from/deploy/systemd/$name ]] || timers+=("$name")
        elif was_shipped "$name" "$from"; then
            say "unit $name: changed with the version"
            [ "$name" != futu-opend.service ] || say "OpenD keeps running; the change takes effect at its next start"
            put_file root:root 0644 "$to/deploy/systemd/$name" "$installed"
        elif [ "$name" = futu-opend.service ] && is_foreign_opend_unit; then
            continue # reported where OpenD is looked for
        elif [ "$from" = /nonexistent ]; then
            warn "$installed was not ours: moved to $installed.before-install"
            act mv -T --backup=numbered "$installed" "$installed.before-install"
            set_drop_ins_aside "$name"
            put_file root:root 0644 "$to/deploy/systemd/$name" "$installed"
        else
            warn "$installed was changed by hand and is kept; the original of this version: $HOME_DIR/deploy/systemd/$name"
        fi
    done
    act systemctl daemon-reload
    for name in "${timers[@]}"; do act systemctl enable --quiet --now "$name"; done
}

# Whether a unit is that of a version that is here: an interrupted change leaves units of both versions.
was_shipped() {
    local tree
    for tree in "$2" "$RELEASES"/*; do
        ! cmp -s "$UNIT_DIR/$1" "$tree/deploy/systemd/$1" || return 0
    done
    return 1
}

remove_unit() {
    [ -e "$UNIT_DIR/$1" ] || return 0
    case $1 in
        *@.service) act systemctl stop "${1%.service}*.service" ;; # a template: its instances
        *) act systemctl disable --now "$1" ;;
    esac
    act rm -f "$UNIT_DIR/$1"
}

enable_timers() {
    local name
    has_role collector || return 0
    for name in $(units_of "$SOURCE" | grep '\.timer$'); do
        systemctl is-enabled --quiet "$name" 2>/dev/null || act systemctl enable --quiet --now "$name"
    done
}

# ---- installing and upgrading ---------------------------------------------------------------------------------------

install_or_upgrade() {
    local new old running
    check_source
    secure_directories
    read_journal
    open_log
    choose_roles
    choose_extras
    new=$(release_name)
    old=$(trusted_release "$(current_release)")
    running=$(trusted_release "$(running_release)")
    say_what_was_interrupted "$old" "$running"
    if [ -n "$TO" ]; then
        old=$(trusted_release "$FROM") FINISH=true
    elif [ -n "$running" ] && [ "$running" != "$old" ]; then
        old=$running FINISH=true
    fi
    if [ "$ACTION" = install ] && [ -n "$old" ]; then
        ! $FINISH || require "an upgrade was interrupted: run this with --upgrade, which completes the change to $new"
        [ "$old" = "$new" ] || require "version $old is installed and this checkout is $new: run it with --upgrade"
    fi
    install_packages
    check_python
    new=$(release_name)
    make_accounts
    $FOREIGN || make_directories
    make_settings
    make_nats_settings
    build_release "$new"
    if [ -z "$old" ]; then
        install_first "$new"
    elif [ "$old" = "$new" ] && ! $FINISH; then
        put_in_force "$new" "$RELEASES/$old"
        next_steps
    else
        upgrade "$old" "$new"
    fi
}

install_first() {
    begin_change '' "$1" '{}'
    put_in_force "$1" /nonexistent
    if $FOREIGN; then
        prepare_take_over
        warn_of_settings
    else
        own_data
        enable_timers # once: a timer that the operator disabled stays disabled
    fi
    end_change
    next_steps
}

# A release that root may run; empty if others than root could have changed it.
trusted_release() {
    [ -n "$1" ] && [ -d "$RELEASES/$1" ] || return 0
    if is_roots_tree "$RELEASES/$1"; then printf '%s\n' "$1"; else warn "$RELEASES/$1 can be changed by others than root: it is not used"; fi
}

say_what_was_interrupted() {
    local current=$1 running=$2
    if [ -n "$FROM" ]; then
        say "an earlier change from $FROM to $TO was interrupted: ${current:-nothing} is in force, ${running:-no version} is running"
    elif [ -n "$TO" ]; then
        say "an earlier installation of $TO was interrupted: it starts again"
    elif [ -n "$running" ] && [ "$running" != "$current" ]; then
        say "$current is in force and $running is running: the service was not restarted"
    fi
}

put_in_force() {
    local new=$1 from=$2
    switch_to "$new"
    place_links
    change_units "$from" "$SOURCE"
}

next_steps() {
    local command
    [ ${#MISSING[@]} -eq 0 ] || warn "still missing for the runbook: sudo apt-get install ${MISSING[*]}"
    $DRY_RUN && { say "dry run: nothing was changed"; return; }
    if $FOREIGN; then
        command="systemctl restart $UNIT"
        systemctl is-enabled --quiet $UNIT 2>/dev/null || command="systemctl enable $UNIT && sudo $command"
        say "until the restart the other program collects; the restart gives its files to $ACCOUNT and starts this version"
    else
        command="systemctl enable --now futu-opend $UNIT"
        ! systemctl is-enabled --quiet $UNIT 2>/dev/null || command="systemctl start futu-opend $UNIT"
    fi
    if has_role collector; then
        cat <<END

Installed. The next three commands:

  sudo vim $ENV_FILE     # FUTU_SYMBOLS at least$(is_foreign_opend_unit || echo "; OpenD's program: $OPEND_FILE")
  sudo $command
  sudo $UNIT status
END
    fi
    next_steps_of_stream
    cat <<END

Who is to look without sudo: sudo usermod -aG $ACCOUNT,systemd-journal NAME (and log in anew).
END
}

# For a host of several: $HOME_DIR/docs/cluster.md has the whole order.
next_steps_of_stream() {
    if has_role nats; then
        cat <<END

The server of JetStream, on each host that has one:

  sudo vim $NATS_FILE   # names and addresses
  sudo systemctl enable --now hk-nats
END
    fi
    if has_role merge; then
        cat <<END

The union of all hosts, into $MERGED_DIR:

  sudo vim $ENV_FILE     # STREAM_URL, MERGE_ROOT=$MERGED_DIR
  sudo systemctl enable --now hk-tick-merge
END
    fi
    [[ ,$EXTRAS, != *,stream,* ]] || ! has_role collector || cat <<END

To send this host's ticks to JetStream: STREAM_URL in $ENV_FILE, then sudo systemctl enable --now hk-tick-publish
END
}

# ---- uninstalling ---------------------------------------------------------------------------------------------------

uninstall() {
    local name
    for name in "${STREAM_UNITS[@]/%/.service}" $UNIT-{snapshot,report,archive}.{timer,service} $UNIT-web.service $UNIT.service $UNIT-failed@.service futu-opend.service; do
        [ "$name" != $UNIT.service ] || [ ! -e "$TAKE_OVER" ] || [ ! -e "$UNIT_DIR/$name.before-install" ] ||
            { put_back_unit; continue; }
        [ "$name" != futu-opend.service ] || ! is_foreign_opend_unit || { say "$OPEND_UNIT is not ours and is kept"; continue; }
        [ ! -e "$UNIT_DIR/$name" ] || cmp -s "$UNIT_DIR/$name" "$CURRENT/deploy/systemd/$name" ||
            act cp --backup=numbered "$UNIT_DIR/$name" "$UNIT_DIR/$name.before-uninstall"
        remove_unit "$name"
    done
    act rm -f "$TAKE_OVER" "$JOURNAL"
    act systemctl daemon-reload
    [[ $(readlink $COMMAND 2>/dev/null) != $HOME_DIR/* ]] || act rm -f $COMMAND
    for name in "${LINKS[@]}" current; do
        [ ! -L "$HOME_DIR/$name" ] || act rm -f "${HOME_DIR:?}/$name"
    done
    act rm -rf "$RELEASES" "$HOME_DIR/install.log" /run/{$UNIT,hk-tick-publish,hk-tick-merge} /var/lib/{,private/}hk-tick-publish
    ! $BACK || put_back_home
    $DRY_RUN && { say "dry run: nothing was changed"; return; }
    say "uninstalled. These are kept: ticks in $DATA_DIR, settings $ENV_FILE and $OPEND_FILE, accounts $ACCOUNT and $OPEND_ACCOUNT$(nats_is_left) (and drop-ins of units, if any)"
    say_what_is_left
}

nats_is_left() { [ ! -d "$(dirname $NATS_FILE)" ] || printf ', %s and /var/lib/hk-nats of JetStream' "$(dirname $NATS_FILE)"; }

# ---- main -----------------------------------------------------------------------------------------------

clean_up() {
    [ -z "$BUILDING" ] || rm -rf "$BUILDING"
}

# The output of pip and apt-get. The file must not be a link, nor belong to another account.
open_log() {
    $DRY_RUN && return
    LOG=$HOME_DIR/install.log
    rm -rf "$LOG"
    : >"$LOG"
}

main() {
    parse_arguments "$@"
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    trap 'printf "%s: stopped at line %s: %s\n" "$PROGRAM" "$LINENO" "$BASH_COMMAND" >&2' ERR
    LOG=/dev/null
    cd / # so that nothing is read from the current directory
    check_host
    case $ACTION in
        uninstall) lock 0; uninstall ;;
        takeover) lock 300; take_over ;;
        *) lock 0; find_predecessor; install_or_upgrade ;;
    esac
}

main "$@"
