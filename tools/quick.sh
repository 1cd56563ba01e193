#!/usr/bin/env bash
# quick.sh [PYTEST ARGUMENT...]: lint, types, and the quick tests in two processes, all at the same time.
# The first run finds out which tests are quick: tests/quick.py.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}
said=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null; rm -rf "$said"' EXIT

part() {
    "$bin/python" -m pytest --quick --part "$1/2" --quiet -rfE --basetemp="$said/tests$1" "${@:2}"
    local code=$?
    return $((code == 5 ? 0 : code))  # 5: the arguments name only files of the other part
}

{ "$bin/mypy" && "$bin/ruff" format --check --quiet . && "$bin/ruff" check --quiet .; } >"$said/types" 2>&1 &
types=$!
part 2 "$@" >"$said/part" 2>&1 &
other=$!
started=("$types" "$other")
part 1 "$@"
code=$?
wait "$other" || code=$?
cat "$said/part"
if wait "$types"; then
    tail -n 1 "$said/types"
else
    code=$?
    cat "$said/types"
fi
exit "$code"
