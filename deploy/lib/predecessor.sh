#!/usr/bin/env bash
# predecessor.sh: a host on which another program has collected under the same names, and OpenD where it had it.
# Read by install.sh.
#
# While the other program runs, nothing that it uses is changed: neither its files in $HOME_DIR nor the rights of the
# data. That is done when the service is restarted, by $TAKE_OVER, which is gone afterwards.

readonly TAKE_OVER=$UNIT_DIR/$UNIT.service.d/take-over.conf
readonly HOME_OWNER=$UNIT_DIR/$UNIT.home-before-install # whose $HOME_DIR was
readonly OPEND_UNIT=$UNIT_DIR/futu-opend.service
readonly OPEND_PLACES=(/opt/FutuOpenD /opt/futu-opend)
readonly OPEND_USERS=(futu)
readonly DEVICE=.com.futunn.FutuOpenD/F3CNN/Device.dat # in the home of OpenD's account

BACK=false    # it was not taken over and its unit is back
FOREIGN=false # another program runs as our service

# Sets FOREIGN.
find_predecessor() {
    local pid
    [ -d /run/systemd/system ] || return 0
    pid=$(systemctl show --property=MainPID --value $UNIT 2>/dev/null) || return 0
    [ "${pid:-0}" != 0 ] && [ -r "/proc/$pid/maps" ] && [ -z "$(running_release)" ] || return 0
    # Not one of ours that begins: nothing of ours was installed, or an installation beside it was killed.
    [ ! -L $CURRENT ] || [ -e "$TAKE_OVER" ] || grep -qsx from= $JOURNAL || return 0
    FOREIGN=true
    say "another program runs as $UNIT ($(tr '\0' ' ' <"/proc/$pid/cmdline")): it goes on until you restart the service"
}

# What waits for the restart of the service: see take_over.
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

# Day files and their WALs as the service's own, whoever made them; nothing that a link leads to.
own_data() {
    $DRY_RUN && return
    (
        enter_data || exit 0
        other=$(find . -xdev \( -type d -o -type f -links 1 \) ! -user $ACCOUNT -print -quit)
        [ -n "$other" ] || exit 0
        say "$DATA_DIR: files of others become $ACCOUNT's ($other is the first)"
        find . -xdev \( -type d -o -type f -links 1 \) ! -user $ACCOUNT \
            -exec chown -h $ACCOUNT:$ACCOUNT {} + -exec chmod o-rwx {} +
    )
}

# Goes to where the data is: from there on nobody who owns a directory above can lead us elsewhere. False where there is none.
enter_data() {
    local place
    place=$(realpath -e $DATA_DIR 2>/dev/null) || return 1
    cd -P "$place" || return 1
    [ -L $DATA_DIR ] || [ "$(pwd -P)" = $DATA_DIR ] || die "$DATA_DIR leads to $(pwd -P): nothing was changed there"
}

# Before it was taken over: the other program's unit as it was. It runs on.
put_back_unit() {
    local name=$UNIT_DIR/$UNIT.service
    say "$UNIT was not taken over: the unit of the other program is put back, and it runs on"
    act rm -rf "$name.d"
    [ ! -e "$name.d.before-install" ] || act mv -T "$name.d.before-install" "$name.d"
    act mv -fT "$name.before-install" "$name"
    BACK=true
}

# Drop-ins of a unit that was not ours say how another program is started.
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
    [ -z "$root" ] || [ "${root%/}" = $DATA_DIR ] || warn "DATA_ROOT is $root: before the restart give the units the right to write there, as the first lines of $UNIT_DIR/$UNIT.service say, and sudo chown -R $ACCOUNT:$ACCOUNT $root"
    said=$(try_settings "$(mktemp -d)" 2>&1 >/dev/null) ||
        warn "with these settings it does not start; correct $ENV_FILE before the restart: $said"
}

# try_settings DIRECTORY: what `config` says of a copy: the file itself is not the service's to read before the takeover.
try_settings() {
    local said code=0
    install -d -o root -g $ACCOUNT -m 0750 "$1"
    install -o root -g $ACCOUNT -m 0640 $ENV_FILE "$1/.env"
    said=$(as_service "$CURRENT/.venv/bin/$UNIT" config --json --env-file "$1/.env" 2>&1 >/dev/null) || code=$?
    rm -rf "${1:?}"
    printf '%s\n' "${said//"$1/.env"/$ENV_FILE}" >&2
    return $code
}

# The other program's directory becomes root's, who executes from it; what it was is kept for `put_back_home`.
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

# What an uninstallation leaves and somebody may look for: each by its name.
say_what_is_left() {
    local left=() each
    for each in "$UNIT_DIR/$UNIT"*.before-* "$HOME_OWNER" "$UNIT_DIR"/futu-opend.service.before-* "$HOME_DIR"/{.[!.],}*.before-install \
        "$ENV_FILE.predecessor" "$UNIT_DIR/$UNIT.service.d" "$OPEND_UNIT.d"; do
        [ ! -e "$each" ] && [ ! -L "$each" ] || left+=("$each")
    done
    [ ${#left[@]} -eq 0 ] || { say "left too, to be removed when nobody needs them:"; printf '  %s\n' "${left[@]}"; }
    [ ! -e "$UNIT_DIR/$UNIT.service.before-install" ] ||
        say "back to the program that ran here before: docs/operations.en.md, \"Return to the predecessor\""
}

# ---- OpenD -----------------------------------------------------------------------------------------------------------

# Whether futu-opend.service is there and is not one that any version of ours shipped or an operator made of it.
is_foreign_opend_unit() { [ -e "$OPEND_UNIT" ] && ! grep -q "$HOME_DIR/" "$OPEND_UNIT"; }

# The program in one of the places where it may be; empty where there is none.
find_opend() {
    local place
    for place in "${OPEND_PLACES[@]}"; do
        [ -d "$place" ] || continue
        find -L "$place" -maxdepth 3 -type f -perm /111 \( -name FutuOpenD -o -name OpenD \) -print -quit
    done | head -n 1
}

home_of() { getent passwd "$1" | cut -d: -f6 || true; }

# The account in whose home the login's device file lies; empty where there is none.
device_owner() {
    local each home
    for each in "${OPEND_USERS[@]}"; do
        home=$(home_of "$each")
        [ -z "$home" ] || [ ! -e "$home/$DEVICE" ] || { printf '%s\n' "$each"; return; }
    done
}

# OpenD as it was found: its own unit is kept, or ours is told program, account and home. So no new SMS code is asked for.
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
        say "OpenD: the login's device file is $file: leave it there, then no new SMS code is asked for"
    else
        say "OpenD: no device file at $file: the first login asks for an SMS code"
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
