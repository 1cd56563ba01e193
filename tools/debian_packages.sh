#!/usr/bin/env bash
# debian_packages.sh PACKAGE...: makes sure that the commands of these Debian packages are here. Installs them as root,
# otherwise says what to install and fails.
set -euo pipefail
missing=()
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian packages: ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } >/dev/null && exit 0
    echo "could not install: ${missing[*]}" >&2
    exit 1
fi
echo "missing Debian packages; run: sudo apt-get install ${missing[*]}" >&2
exit 1
