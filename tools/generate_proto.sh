#!/usr/bin/env bash
# Writes opend_pb2.py and opend_pb2.pyi from opend.proto. With --check only says whether they are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
package=src/hk_tick_collector/opend
out=$package
[ "${1:-}" = --check ] && out=$(mktemp -d) && trap 'rm -rf "$out"' EXIT
.venv/bin/python -m grpc_tools.protoc --proto_path=$package --python_out="$out" --pyi_out="$out" opend.proto
if [ "$out" != $package ]; then
    for file in opend_pb2.py opend_pb2.pyi; do
        cmp -s "$out/$file" $package/$file || { echo "$file is stale: run tools/generate_proto.sh" >&2; exit 1; }
    done
fi
