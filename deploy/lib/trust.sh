#!/usr/bin/env bash
# trust.sh: checks that only root can change what root executes, on every step of its path up to the root directory.
# Read by install.sh.

# Whether only root may change a directory, a file or a link (not the target of the link).
is_roots() {
    local owner mode group
    IFS=' ' read -r owner mode group < <(stat -c '%u %a %g' -- "$1") || return 1
    [ "$owner" = 0 ] || return 1
    [ ! -L "$1" ] || return 0
    (((8#$mode & 8#002) == 0)) || return 1
    (((8#$mode & 8#020) == 0)) || is_empty_group "$group"
}

# Whether a group has no member except root: /usr/local/bin may be root:staff.
is_empty_group() {
    [ "$1" -ne 0 ] || return 0
    [ -z "$(getent group "$1" | cut -d: -f4)" ] && ! getent passwd | cut -d: -f4 | grep -qx "$1"
}

# Each directory and each link on the way to a path, and the path itself.
way_to() {
    local path=$1 target
    while :; do
        printf '%s\n' "$path"
        if [ -L "$path" ] && [ -e "$path" ]; then
            target=$(readlink "$path")
            [[ $target == /* ]] || target=$(dirname "$path")/$target
            way_to "$(realpath -s "$target")"
        fi
        [ "$path" != / ] || return 0
        path=$(dirname "$path")
    done
}

# demand_roots PATH WHAT: stops if others could change what root executes. Root creates what does not exist yet.
demand_roots() {
    local each
    while read -r each; do
        { [ -e "$each" ] || [ -L "$each" ]; } && ! is_roots "$each" || continue
        require "$each is $(stat -c '%U:%G, mode %a' "$each"), and root executes what is in it ($2): sudo chown root:root $each && sudo chmod go-w $each"
    done < <(way_to "$1" | sort -u)
}

# Whether everything in a directory belongs to root and only root can change it.
is_roots_tree() {
    [ -d "$1" ] && [ ! -L "$1" ] && [ -z "$(find "$1" \( ! -uid 0 -o ! -type l -perm /022 \) -print -quit)" ]
}

WAS_OTHERS=false # our directory belonged to another account

# Files with our names in a directory that belonged to another account were not made by us.
forget_names() {
    act rm -rf $CURRENT.new $JOURNAL $JOURNAL.new $HOME_DIR/install.log
    [ -L $CURRENT ] || [ ! -e $CURRENT ] || act mv -T --backup=numbered $CURRENT $CURRENT.before-install
}

# The directories that root executes from: those above ours must belong to root, ours are given to root.
secure_directories() {
    local each
    demand_roots "$(dirname $HOME_DIR)" "$HOME_DIR"
    demand_roots "$(dirname $COMMAND)" "$COMMAND"
    demand_roots "$UNIT_DIR" "units"
    keep_home_owner
    for each in "$HOME_DIR" "$RELEASES"; do
        [ ! -L "$each" ] || require "$each is a link: it must be a directory, sudo mv $each $each.before-install"
        [ ! -e "$each" ] || [ -d "$each" ] || require "$each is not a directory: sudo mv $each $each.before-install"
        if [ -d "$each" ] && ! is_roots "$each"; then
            say "$each was $(stat -c '%U:%G, mode %a' "$each"): it is given to root, mode 0755"
            WAS_OTHERS=true
        fi
        act install -d -o root -g root -m 0755 "$each"
    done
    ! $WAS_OTHERS || forget_names
    for each in "$ENV_FILE" "$OPEND_FILE"; do
        [ ! -L "$each" ] || require "$each is a link, and its target would get other permissions: put a file in its place"
        [ ! -e "$each" ] || [ "$(stat -c '%F %h' "$each" | sed 's/regular empty/regular/')" = 'regular file 1' ] ||
            require "$each has another name too (a hard link): put a copy in its place"
    done
    [ ! -L $DATA_DIR ] || demand_roots $DATA_DIR "the rights of where it leads to are set"
}

# put_file OWNER:GROUP MODE SOURCE TARGET: replaces the file in one step.
put_file() {
    act rm -rf "${4:?}.new"
    act install -o "${1%:*}" -g "${1#*:}" -m "$2" "$3" "$4.new"
    act mv -fT "$4.new" "$4"
}
