# The whole manual: 'make demo' shows the move, 'make test' proves it, 'make clean' leaves nothing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Where it is set, every start of Ansible compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
RELEASE ?= debian13
# Measures what runs of the code: 'make unit integration coverage COVERAGE=1'.
MEASURED = $(if $(COVERAGE),env COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml COVERAGE_ROOT=$(CURDIR) COVERAGE_FILE=$(CURDIR)/.cache/coverage/data)
PAGES := $(wildcard *.md) docs tests/lab/portal/README.md tests/fixtures/backups/README.md

.PHONY: help setup demo test test-all check lint unit integration molecule collection estate coverage faults mutate e2e bench bench-restore docs lock clean

help:  ## show these lines
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.ready  ## the virtual environment with everything pinned

$(VENV)/.ready: requirements.txt pyproject.toml tools/setup
	tools/setup

demo: setup  ## build the hosts and move a portal on this machine, end to end
	tools/demo

check: setup lint unit  ## the fast tier: style, types, the collection's pages and sanity, unit tests

lint: setup  ## ruff, mypy, yamllint, mdformat, ansible-lint with the production profile
	ruff check python plugins tests molecule
	ruff format --check python plugins tests molecule
	mypy
	yamllint --strict .
	mdformat --check $(PAGES)
	ansible-lint --offline --profile production
	tools/collection

unit: setup  ## tests that need nothing but Python
	$(if $(COVERAGE),rm -rf .cache/coverage && mkdir -p .cache/coverage)
	$(MEASURED) pytest -q -n 2 -m 'not integration' tests/unit

integration: setup  ## tests against MariaDB, Redis, PHP and Node, started by the tests themselves
	tools/test-packages
	@# The files that wait longest are begun first; the tests of a file share its server.
	$(MEASURED) pytest -q -n 3 --dist loadfile --no-loadscope-reorder --durations=15 --durations-min=10 tests/integration
	$(MEASURED) pytest -q -m integration tests/unit

molecule: setup  ## every role on $(RELEASE): check, converge, idempotence, check, verify
	tools/molecule $(RELEASE)

estate: setup  ## an integrator's own estate from the docs, whose hosts lose power
	tools/test-packages
	pytest -q tests/estate

collection: setup  ## the collection in a project that is not the kit's
	pytest -q tests/collection

coverage: setup  ## lines and branches by package of what ran with COVERAGE=1; less than 90 % of all lines fail
	tools/coverage

faults: setup  ## the table fault x step, by the tests that prove each row
	tools/test-packages
	tools/faults

mutate: setup  ## small faults in the critical modules, or in PACKAGE="lock gates": those that no test notices
	tools/mutate $(PACKAGE)

e2e: setup  ## the whole estate in the lab
	tools/test-packages
	trap 'encaja lab down > /dev/null' EXIT; pytest -q tests/e2e

test: setup  ## every test, roles on Debian 13; says at its end where the time went
	tools/test debian13

test-all: setup  ## every test, roles on Debian 13 and 12
	tools/test debian13 debian12

bench: setup  ## ratios against named baselines
	pytest -q -s tests/bench

bench-restore: setup  ## the restore engine against 'tar' and 'mariadb'
	pytest -q -s tests/bench/test_restore.py

docs: setup  ## write docs/variables.md and docs/contract.md, and wrap the lines of all pages
	python -m encaja.preflight.document > docs/variables.md
	python -m encaja.preflight.contract_page > docs/contract.md
	mdformat $(PAGES)

lock: setup  ## pin the dependencies of pyproject.toml again
	@# uv.lock notes the addresses of the registry that was asked; what is kept of it is versions and hashes.
	@trap 'rm -f uv.lock' EXIT; uv --quiet lock --upgrade && uv --quiet export --frozen --no-emit-project --extra fast --extra dev \
	  --no-header --no-annotate --output-file requirements.txt > /dev/null

clean:  ## remove the lab, its images and everything that was built
	@if [ -x $(VENV)/bin/encaja ] && command -v podman >/dev/null; then encaja lab down --images; fi
	rm -rf $(VENV) build .encaja .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python plugins tests molecule roles -name __pycache__ -prune -exec rm -rf {} +
