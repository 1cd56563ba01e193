#!/usr/bin/env bash
# Writes the modules _pb2.py and _pb2.pyi beside each .proto. With --check only says whether they are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
for proto in src/hk_tick_collector/opend/opend.proto src/hk_tick_collector/jetstream/ticks.proto; do
    package=$(dirname $proto) name=$(basename $proto .proto)
    out=$package
    [ "${1:-}" = --check ] && out=$(mktemp -d)
    .venv/bin/python -m grpc_tools.protoc --proto_path=$package --python_out="$out" --pyi_out="$out" $name.proto
    if [ "$out" != $package ]; then
        for file in ${name}_pb2.py ${name}_pb2.pyi; do
            cmp -s "$out/$file" $package/$file || { echo "$file is stale: run tools/generate_proto.sh" >&2; exit 1; }
        done
        rm -rf "$out"
    fi
done
