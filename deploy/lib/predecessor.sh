#!/usr/bin/env bash
# predecessor.sh: for a host on which another program has collected with the same names, and for its OpenD.
# Read by install.sh.
#
# While the other program runs, nothing that it uses is changed: neither its files in $HOME_DIR nor the rights of the
# data. $TAKE_OVER does that when the service is restarted, and is removed afterwards.

readonly TAKE_OVER=$UNIT_DIR/$UNIT.service.d/take-over.conf
readonly HOME_OWNER=$UNIT_DIR/$UNIT.home-before-install # the former owner and mode of $HOME_DIR
readonly OPEND_UNIT=$UNIT_DIR/futu-opend.service
readonly OPEND_PLACES=(/opt/FutuOpenD /opt/futu-opend)
readonly OPEND_USERS=(futu)
readonly DEVICE=.com.futunn.FutuOpenD/F3CNN/Device.dat # in the home of OpenD's account

BACK=false    # there was no takeover, and its unit is restored
FOREIGN=false # another program runs as our service

# Sets FOREIGN.
find_predecessor() {
    local pid
    [ -d /run/systemd/system ] || return 0
    pid=$(systemctl show --property=MainPID --value $UNIT 2>/dev/null) || return 0
    [ "${pid:-0}" != 0 ] && [ -r "/proc/$pid/maps" ] && [ -z "$(running_release)" ] || return 0
    # Not our own program at its start: nothing of ours was installed, or an installation beside it was killed.
    [ ! -L $CURRENT ] || [ -e "$TAKE_OVER" ] || grep -qsx from= $JOURNAL || return 0
    FOREIGN=true
    say "another program runs as $UNIT ($(tr '\0' ' ' <"/proc/$pid/cmdline")): it keeps running until you restart the service"
}

# Prepares what the restart of the service does: see take_over.
prepare_take_over() {
    local draft
    $DRY_RUN && { act install -m 0644 take-over.conf "$TAKE_OVER"; return; }
    draft=$(mktemp)
    cat >"$draft" <<END
# Made by install.sh, removed by the first start: the files of the program that ran here before get their new owner.
[Service]
ExecStartPre=+/bin/bash $CURRENT/deploy/install.sh --takeover
END
    act install -d -m 0755 "$(dirname "$TAKE_OVER")"
    put_file root:root 0644 "$draft" "$TAKE_OVER"
    rm -f "$draft"
    act systemctl daemon-reload
}

# Between the end of the other program and the first start of ours.
take_over() {
    choose_roles
    secure_directories
    make_settings
    place_links
    make_directories
    own_data
    enable_timers
    act rm -f "$TAKE_OVER"
    [ ! -d "$(dirname "$TAKE_OVER")" ] || rmdir --ignore-fail-on-non-empty "$(dirname "$TAKE_OVER")"
    act systemctl daemon-reload
    say "taken over: $DATA_DIR belongs to $ACCOUNT, $HOME_DIR/.venv is $(current_release)"
}

# Gives day files and their WALs to the service's account, whoever owns them; links are not followed.
own_data() {
    $DRY_RUN && return
    (
        enter_data || exit 0
        other=$(find . -xdev \( -type d -o -type f -links 1 \) ! -user $ACCOUNT -print -quit)
        [ -n "$other" ] || exit 0
        say "$DATA_DIR: files of other accounts are given to $ACCOUNT ($other is the first)"
        find . -xdev \( -type d -o -type f -links 1 \) ! -user $ACCOUNT \
            -exec chown -h $ACCOUNT:$ACCOUNT {} + -exec chmod o-rwx {} +
    )
}

# Changes to the data directory: after that the owner of a directory above it cannot redirect us. False if there is none.
enter_data() {
    local place
    place=$(realpath -e $DATA_DIR 2>/dev/null) || return 1
    cd -P "$place" || return 1
    [ -L $DATA_DIR ] || [ "$(pwd -P)" = $DATA_DIR ] || die "$DATA_DIR leads to $(pwd -P): nothing was changed there"
}

# Without a takeover: restores the other program's unit. That program keeps running.
put_back_unit() {
    local name=$UNIT_DIR/$UNIT.service
    say "$UNIT was not taken over: the unit of the other program is restored, and it keeps running"
    act rm -rf "$name.d"
    [ ! -e "$name.d.before-install" ] || act mv -T "$name.d.before-install" "$name.d"
    act mv -fT "$name.before-install" "$name"
    BACK=true
}

# Drop-ins of a unit that is not ours are for another program.
set_drop_ins_aside() {
    local place=$UNIT_DIR/$1.d
    [ -d "$place" ] && [ ! -e "$TAKE_OVER" ] || return 0
    warn "$place belonged to the unit that was not ours: moved to $place.before-install"
    act mv -T --backup=numbered "$place" "$place.before-install"
}

warn_of_settings() {
    local said root
    $DRY_RUN && return
    root=$(sed -n 's/^DATA_ROOT=//p' $ENV_FILE | tail -n 1)
    [ -z "$root" ] || [ "${root%/}" = $DATA_DIR ] || warn "DATA_ROOT is $root: before the restart allow the units to write there, as the first lines of $UNIT_DIR/$UNIT.service say, and sudo chown -R $ACCOUNT:$ACCOUNT $root"
    said=$(try_settings "$(mktemp -d)" 2>&1 >/dev/null) ||
        warn "this version does not start with these settings; correct $ENV_FILE before the restart: $said"
}

# try_settings DIRECTORY: checks a copy with `config`: before the takeover the service may not read the file itself.
try_settings() {
    local said code=0
    install -d -o root -g $ACCOUNT -m 0750 "$1"
    install -o root -g $ACCOUNT -m 0640 $ENV_FILE "$1/.env"
    said=$(as_service "$CURRENT/.venv/bin/$UNIT" config --json --env-file "$1/.env" 2>&1 >/dev/null) || code=$?
    rm -rf "${1:?}"
    printf '%s\n' "${said//"$1/.env"/$ENV_FILE}" >&2
    return $code
}

# Gives the other program's directory to root, who executes from it; `put_back_home` can restore owner and mode.
keep_home_owner() {
    $FOREIGN && ! $DRY_RUN && [ -d $HOME_DIR ] && [ ! -e "$HOME_OWNER" ] && ! is_roots $HOME_DIR || return 0
    stat -c '%u:%g %a' $HOME_DIR >"$HOME_OWNER.new"
    mv -fT "$HOME_OWNER.new" "$HOME_OWNER"
}

put_back_home() {
    local owner mode
    [ -f "$HOME_OWNER" ] && IFS=' ' read -r owner mode <"$HOME_OWNER" || return 0
    say "$HOME_DIR is $owner, $mode again, as it was before the installation"
    act chown -h "$owner" $HOME_DIR
    act chmod "$mode" $HOME_DIR
    act rm -f "$HOME_OWNER"
}

# Lists the files that an uninstallation leaves.
say_what_is_left() {
    local left=() each
    for each in "$UNIT_DIR/$UNIT"*.before-* "$HOME_OWNER" "$UNIT_DIR"/futu-opend.service.before-* "$HOME_DIR"/{.[!.],}*.before-install \
        "$ENV_FILE.predecessor" "$UNIT_DIR/$UNIT.service.d" "$OPEND_UNIT.d"; do
        [ ! -e "$each" ] && [ ! -L "$each" ] || left+=("$each")
    done
    [ ${#left[@]} -eq 0 ] || { say "also left; remove them when they are no longer needed:"; printf '  %s\n' "${left[@]}"; }
    [ ! -e "$UNIT_DIR/$UNIT.service.before-install" ] ||
        say "to return to the program that ran here before: docs/operations.en.md, \"Return to the predecessor\""
}

# ---- OpenD -----------------------------------------------------------------------------------------------------------

# Whether futu-opend.service exists and is neither ours nor changed by an operator from ours.
is_foreign_opend_unit() { [ -e "$OPEND_UNIT" ] && ! grep -q "$HOME_DIR/" "$OPEND_UNIT"; }

# The program in one of the usual places; empty if there is none.
find_opend() {
    local place
    for place in "${OPEND_PLACES[@]}"; do
        [ -d "$place" ] || continue
        find -L "$place" -maxdepth 3 -type f -perm /111 \( -name FutuOpenD -o -name OpenD \) -print -quit
    done | head -n 1
}

home_of() { getent passwd "$1" | cut -d: -f6 || true; }

# The account whose home has the login's device file; empty if there is none.
device_owner() {
    local each home
    for each in "${OPEND_USERS[@]}"; do
        home=$(home_of "$each")
        [ -z "$home" ] || [ ! -e "$home/$DEVICE" ] || { printf '%s\n' "$each"; return; }
    done
}

# Keeps OpenD as it was found: its own unit is kept, or ours gets program, account and home. So no SMS code is needed.
adopt_opend() {
    local user program
    if is_foreign_opend_unit; then
        user=$(sed -n 's/^User=//p' "$OPEND_UNIT" | tail -n 1)
        program=$(sed -n 's/^ExecStart=[-@:+!]*\([^ ]*\).*/\1/p' "$OPEND_UNIT" | tail -n 1)
        say "OpenD: $OPEND_UNIT is kept as it is: it runs ${program:-its program} as ${user:-root}"
        say_device "${user:-root}"
        return
    fi
    program=$(find_opend)
    if [ ! -e $OPEND_FILE ] && [ -n "$program" ] && [ "$program" != "${OPEND_PLACES[0]}/FutuOpenD" ]; then
        say "OpenD: found $program; $OPEND_FILE names it"
        write_opend_file "$program"
    fi
    user=$(device_owner)
    [ -n "$user" ] && [ -n "$program" ] && [ ! -e "$(home_of $OPEND_ACCOUNT)/$DEVICE" ] || return 0
    [ ! -e "$OPEND_UNIT.d/account.conf" ] || return 0
    say_device "$user"
    write_opend_drop_in "$user" "$(dirname "$program")"
}

say_device() {
    local file
    file=$(home_of "$1")/$DEVICE
    if [ -e "$file" ]; then
        say "OpenD: the login's device file is $file: leave it there, so that no new SMS code is needed"
    else
        say "OpenD: no device file at $file: the first login needs an SMS code"
    fi
}

write_opend_file() {
    local program=$1 draft config
    $DRY_RUN && { act install -m 0640 futu-opend "$OPEND_FILE"; return; }
    config=$(find -L "$(dirname "$program")" -maxdepth 1 -name '*OpenD.xml' -print -quit)
    draft=$(mktemp)
    sed -e "s|^OPEND_BIN=.*|OPEND_BIN=$program|" \
        -e "s|^OPEND_ARGS=.*|OPEND_ARGS=${config:+-cfg_file=$config }-no_monitor=1|" "$SOURCE/deploy/default/futu-opend" >"$draft"
    put_file root:root 0640 "$draft" $OPEND_FILE
    rm -f "$draft"
}

write_opend_drop_in() {
    local user=$1 place=$2 home draft
    $DRY_RUN && { act install -m 0644 account.conf "$OPEND_UNIT.d/account.conf"; return; }
    home=$(home_of "$user")
    draft=$(mktemp)
    cat >"$draft" <<END
# Made by install.sh: the account whose home has the login's device file. Without it OpenD asks for a new SMS code.
[Service]
User=$user
Group=$(id -gn "$user")
Environment=HOME=$home
ProtectHome=no
ReadWritePaths=$home -$place
END
    act install -d -m 0755 "$OPEND_UNIT.d"
    put_file root:root 0644 "$draft" "$OPEND_UNIT.d/account.conf"
    rm -f "$draft"
}
