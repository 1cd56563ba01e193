#!/usr/bin/env bash
# with_clock.sh "2026-11-28 23:58:00" COMMAND...: runs a command whose wall clock begins at this time of Hong Kong.
# The monotonic clock stays as it is. Children inherit the clock. Needs the Debian package libfaketime.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
waits="$root/.venv/plain_waits.so"
cc -shared -fPIC -o "$waits" "$root/tests/preloaded/plain_waits.c"
offset_s=$(($(date -d "$1 +0800" +%s) - $(date +%s)))
library=$(dpkg-query -L libfaketime | grep '/libfaketimeMT\.so')
shift
FAKETIME=$(printf '%+ds' "$offset_s") FAKETIME_DONT_FAKE_MONOTONIC=1 \
    LD_PRELOAD="$waits $library${LD_PRELOAD:+ $LD_PRELOAD}" exec "$@"
