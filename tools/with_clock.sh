#!/usr/bin/env bash
# with_clock.sh "2026-11-28 23:58:00" COMMAND...: runs a command whose wall clock begins at this time of Hong Kong.
# The monotonic clock stays as it is. Children inherit the clock. Needs the Debian package libfaketime.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
sleeper="$root/.venv/plain_sleep.so"
cc -shared -fPIC -o "$sleeper" "$root/tests/preloaded/plain_sleep.c"
offset_s=$(($(date -d "$1 +0800" +%s) - $(date +%s)))
library=$(dpkg-query -L libfaketime | grep '/libfaketimeMT\.so')
shift
FAKETIME=$(printf '%+ds' "$offset_s") FAKETIME_DONT_FAKE_MONOTONIC=1 \
    LD_PRELOAD="$sleeper $library${LD_PRELOAD:+ $LD_PRELOAD}" exec "$@"
