#!/usr/bin/env bash
# Rewrites requirements/*.txt from pyproject.toml: every version pinned, every file hashed, no address recorded.
# Needs uv. Run it after changing a dependency, then commit both.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
             --no-annotate --upgrade "$@"; }
lock pyproject.toml --extra encryption --group build --output-file requirements/runtime.txt
lock pyproject.toml --extra encryption --extra data --extra lake --extra stream --extra web --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt
# deploy/install.sh --extras: all of runtime.txt, in the same versions, and the extra
lock pyproject.toml --extra encryption --extra data --group build --constraint requirements/dev.txt --output-file requirements/data.txt
lock pyproject.toml --extra encryption --extra data --extra lake --group build --constraint requirements/dev.txt --output-file requirements/lake.txt
lock pyproject.toml --extra encryption --extra stream --group build --constraint requirements/dev.txt --output-file requirements/stream.txt
lock pyproject.toml --extra encryption --extra stream --group build --group cluster --constraint requirements/dev.txt --output-file requirements/cluster.txt
lock pyproject.toml --extra encryption --extra web --group build --constraint requirements/dev.txt --output-file requirements/web.txt
lock --group site --constraint requirements/dev.txt --output-file requirements/docs.txt
for group in hooks mutants pipx release screenshots; do  # what is in dev.txt has the same version there
    lock --group $group --constraint requirements/dev.txt --output-file requirements/$group.txt
done
