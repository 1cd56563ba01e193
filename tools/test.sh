#!/usr/bin/env bash
# Every test, in groups side by side: most of them wait for a process, a deadline or a disk, and hardly use a core.
# With arguments, which are pytest's, it is one plain run of what they name.
set -euo pipefail
cd "$(dirname "$0")/.."
pytest=(.venv/bin/python -X dev -m pytest)
[ $# -eq 0 ] || exec "${pytest[@]}" "$@"

groups=("tests/reliability" "tests/e2e" "tests/cli tests/scripts" "")
others=(--ignore=tests/reliability --ignore=tests/e2e --ignore=tests/cli --ignore=tests/scripts)
logs=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$logs"' EXIT

for group in "${!groups[@]}"; do
    read -ra folders <<<"${groups[group]}"
    [ ${#folders[@]} -gt 0 ] || folders=("${others[@]}")
    # Each has its own place for temporary files: pytest removes those of older runs. A shell lets what it runs in the
    # background ignore Ctrl-C, nohup has it ignore SIGHUP, and tests send both.
    env --default-signal=INT,QUIT,HUP "${pytest[@]}" "${folders[@]}" --basetemp="$logs/files-$group" -o cache_dir=".pytest_cache/$group" >"$logs/$group" 2>&1 &
    pids+=($!)
done
failed=0
for group in "${!groups[@]}"; do
    wait "${pids[group]}" || failed=1
    echo "== ${groups[group]:-all other tests}"
    cat "$logs/$group"
done
exit "$failed"
