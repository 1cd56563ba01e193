#!/bin/sh
# run-opend.sh: starts OpenD as /etc/default/futu-opend says (futu-opend.service passes OPEND_BIN and OPEND_ARGS).
# Exit code 78: the file is wrong; systemd does not try again.
set -eu
if [ ! -x "${OPEND_BIN:-}" ] || [ -d "$OPEND_BIN" ]; then
    echo "OPEND_BIN=${OPEND_BIN:-} is no program that the account $(id -un) may run: install OpenD there or correct /etc/default/futu-opend, then sudo systemctl restart futu-opend" >&2
    exit 78
fi
cd "$(dirname "$OPEND_BIN")" # OpenD looks for its own files there
# shellcheck disable=SC2086  # the arguments are words
exec "$OPEND_BIN" ${OPEND_ARGS:-}
