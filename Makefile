# What a developer types. Needs a Python, make and git; everything else is installed into .venv-*, pinned by constraints/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.ONESHELL:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
export PYTHON
AIRFLOW_VERSIONS := 2.11 3.0 3.1 3.2 3.3 3.4
NEWEST := 3.3
comma := ,
BIN := .venv-$(NEWEST)/bin
UV := .venv-uv/bin/uv

# The caller's own Airflow, packages and pip settings that would lead elsewhere stay out. (Where pip's index is, stays.)
unexport $(filter AIRFLOW_% _AIRFLOW_% PASSNOTIFY_%,$(.VARIABLES))
export AIRFLOW_HOME := $(CURDIR)/build/airflow
unexport PYTHONPATH PYTHONHOME PYTHONWARNINGS PIP_USER PIP_TARGET PIP_PREFIX PIP_CONSTRAINT

.PHONY: help
help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo "make airflow-X      run DAGs in one Airflow version: $(AIRFLOW_VERSIONS)"
	@echo "Another Python: make PYTHON=python3.12 ..."

.PHONY: demo
demo: .venv-$(NEWEST)/.installed ## run the example DAG in Airflow against the sandbox
	@$(BIN)/python scripts/demo.py

.PHONY: airflow
airflow: .venv-$(NEWEST)/.installed ## a whole Airflow with the example DAGs and the sandbox, ready to click; Ctrl-C stops it
	@exec $(BIN)/python -m scripts.try_airflow

.PHONY: test
test: ## everything that each push must pass, the cheapest first
	@"$$(scripts/find-python.sh $(NEWEST))" scripts/run_tests.py --newest $(NEWEST) $(AIRFLOW_VERSIONS)

.PHONY: lint
lint: .venv-$(NEWEST)/.installed ## ruff: rules and format; deptry: what is imported is declared
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/deptry .

.PHONY: format
format: .venv-$(NEWEST)/.installed ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: types
types: .venv-$(NEWEST)/.installed ## mypy, strict
	$(BIN)/mypy

.PHONY: unit
unit: .venv-$(NEWEST)/.installed ## unit and contract tests
	$(BIN)/python -m pytest -n 2 tests/unit tests/contract

.PHONY: floor
floor: .venv-floor/.installed ## the same on the lowest Python and with the lowest dependencies that pyproject.toml allows
	AIRFLOW_HOME=$(CURDIR)/build/airflow-$@ .venv-$@/bin/python -m pytest -n 2 tests/unit tests/contract

.PHONY: ceiling
ceiling: .venv-ceiling/.installed ## the same on the newest Python that is here and with the newest of everything
	AIRFLOW_HOME=$(CURDIR)/build/airflow-$@ .venv-$@/bin/python -m pytest -n 2 tests/unit tests/contract

.PHONY: coverage
coverage: .venv-$(NEWEST)/.installed ## the same, and how much of the package they reach; below the floor it fails
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term tests/unit tests/contract

.PHONY: fuzz
fuzz: .venv-$(NEWEST)/.installed ## a minute of generated inputs, the same each time: answers, connections, files, rows
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-1500} $(BIN)/python -m pytest tests/fuzz

.PHONY: guide
guide: .venv-$(NEWEST)/.installed ## put the code of example_dags and the docstrings into the pages of the guide
	$(BIN)/python scripts/guide.py

.PHONY: sql
sql: .venv-$(NEWEST)/.installed ## queries on real databases, installed or unpacked from Debian's packages
	$(BIN)/python scripts/databases.py $(UV) $(BIN)/python constraints/airflow-$(NEWEST).txt
	$(BIN)/python -m pytest tests/sql

.PHONY: storage
storage: .venv-$(NEWEST)/.installed ## journals, reports and rows in a real S3 (moto's server)
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints/airflow-$(NEWEST).txt --editable '.[dev,dev-storage]'
	$(BIN)/python -m pytest tests/storage

.PHONY: docs
docs: .venv-$(NEWEST)/.installed ## the guide, as HTML in docs/_build
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

.PHONY: install-check
install-check: .venv-$(NEWEST)/.installed ## try the README in a fresh virtual environment, up to a first ticketId
	$(BIN)/python scripts/install_check.py

.PHONY: release-check
release-check: .venv-$(NEWEST)/.installed ## build sdist and wheel, check them, try the wheel in a fresh virtual environment
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints/airflow-$(NEWEST).txt --editable '.[dev,docs,release]'
	$(BIN)/python scripts/release_check.py

.PHONY: system
system: system-$(NEWEST) ## tests that need a whole Airflow: scheduler, triggerer and the rest; system-X: another version

.PHONY: $(filter-out system-2.%,$(AIRFLOW_VERSIONS:%=system-%))
$(filter-out system-2.%,$(AIRFLOW_VERSIONS:%=system-%)): system-%: .venv-%/.installed
	AIRFLOW_HOME=$(CURDIR)/build/airflow-$* .venv-$*/bin/python -m pytest tests/system

.PHONY: browser
browser: .venv-$(NEWEST)/.installed ## the sandbox's page in headless Chromium (installs it if it is missing)
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints/airflow-$(NEWEST).txt --editable '.[dev,browser]'
	$(BIN)/python scripts/browser.py || echo 'The tests of the page are skipped.'
	$(BIN)/python -m pytest tests/browser

.PHONY: simulation
simulation: .venv-$(NEWEST)/.installed ## a hundred thousand histories of a simulated Airflow, and each rule of the journal broken once
	$(BIN)/python -m tests.simulation
	$(BIN)/python -m pytest -n 2 tests/simulation

.PHONY: chaos
chaos: chaos-$(NEWEST) chaos-2.11 ## kill, stop and cut everything once, and count what was sent

.PHONY: chaos-$(NEWEST)
chaos-$(NEWEST): .venv-$(NEWEST)/.installed
	$(BIN)/python -m pytest -s tests/chaos

.PHONY: chaos-2.11
chaos-2.11: .venv-2.11/.installed
	AIRFLOW_HOME=$(CURDIR)/build/airflow-2.11 .venv-2.11/bin/python -m pytest -s tests/chaos/test_chaos.py tests/chaos/test_batch.py

# The parts of the night. `make nightly SHORT=1` (or `make soak SHORT=1` ...) plays them in minutes.
SHORT ?=
length = $(if $(SHORT),$(1),$(2))
export SHORT

.PHONY: nightly
nightly: .venv-$(NEWEST)/.installed ## what takes too long for each push, part by part (SHORT=1: minutes of each)
	@$(BIN)/python scripts/run_nightly.py $(AIRFLOW_VERSIONS)

.PHONY: sql-2.11
sql-2.11: .venv-2.11/.installed
	.venv-2.11/bin/python scripts/databases.py $(UV) .venv-2.11/bin/python constraints/airflow-2.11.txt
	.venv-2.11/bin/python -m pytest tests/sql

.PHONY: mock-servers
mock-servers: .venv-$(NEWEST)/.installed ## the clients against mock servers that others wrote: Prism, mountebank (from npm)
	npm install --silent --no-fund --no-audit --prefix build/node @stoplight/prism-cli@5.16.0 @mbtest/mountebank@2.9.2 \
		|| echo 'They could not be installed; the tests are skipped.'
	$(BIN)/python -m pytest tests/mock_servers

.PHONY: soak
soak: .venv-$(NEWEST)/.installed ## an hour of sends and waits: nothing may grow
	AIRFLOW__LOGGING__LOGGING_LEVEL=ERROR $(BIN)/python -m tests.soak --minutes $(call length,1,60)

.PHONY: celery
celery: .venv-$(NEWEST)/.installed ## two Celery workers, of which one is killed (a broker comes from Debian's packages)
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints/airflow-$(NEWEST).txt --editable '.[dev,dev-celery]'
	CELERY_ROWS=$(call length,1500,20000) $(BIN)/python -m pytest -s tests/distributed

.PHONY: mutation
mutation: .venv-$(NEWEST)/.installed ## an hour of small changes to the heart: which ones does no test notice?
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints/airflow-$(NEWEST).txt --editable '.[dev]' mutmut
	$(BIN)/python scripts/mutation.py $(call length,3,60)

.PHONY: fuzz-long
fuzz-long: .venv-$(NEWEST)/.installed
	FUZZ_RANDOM=1 $(MAKE) fuzz FUZZ_EXAMPLES=$(call length,200,100000)

.PHONY: simulation-long
simulation-long: .venv-$(NEWEST)/.installed
	$(BIN)/python -m tests.simulation --histories $(call length,2000,2000000) --first-seed 1000000

.PHONY: chaos-long
chaos-long: .venv-$(NEWEST)/.installed ## many kills, with the journal in Airflow's store and in a folder
	$(BIN)/python -m tests.chaos --rounds $(call length,4,300)
	$(BIN)/python -m tests.chaos --folder --rounds $(call length,4,100)
	$(BIN)/python -m tests.chaos.batch $(call length,--rows 3000 --kills 2,--rows 50000 --kills 10)
	$(BIN)/python -m tests.chaos.batch --folder $(call length,--rows 3000 --kills 2,--rows 50000 --kills 10)

.PHONY: chaos-long-2.11
chaos-long-2.11: .venv-2.11/.installed
	.venv-2.11/bin/python -m tests.chaos --rounds $(call length,4,300)
	.venv-2.11/bin/python -m tests.chaos.batch $(call length,--rows 3000 --kills 2,--rows 50000 --kills 10)

.PHONY: scale
scale: .venv-$(NEWEST)/.installed ## memory and time of a million rows
	$(BIN)/python benchmarks/scale.py --rows $(call length,1000 10000,10000 1000000)

.PHONY: matrix
matrix: .venv-uv/.installed ## unit and contract tests of one Airflow on one Python: make matrix AIRFLOW=3.2 ON=3.13
	@python=$$(UV=$(UV) scripts/find-python.sh python$(ON))
	cell=build/matrix/$(AIRFLOW)-$(ON)
	$(UV) venv --quiet --clear --seed --python "$$python" $$cell
	$(UV) pip install --quiet --python $$cell/bin/python --constraint constraints/airflow-$(AIRFLOW).txt --editable '.[dev]'
	AIRFLOW_HOME=$(CURDIR)/$$cell-home $$cell/bin/python -m pytest $(call length,tests/unit/test_imports.py,-n 2 tests/unit tests/contract)

.PHONY: bench
bench: .venv-$(NEWEST)/.installed ## figures: this provider and others, side by side (needs the extra "benchmark")
	$(UV) pip install --quiet --python $(BIN)/python --constraint constraints/airflow-$(NEWEST).txt --editable '.[dev,benchmark]'
	$(BIN)/python benchmarks/run.py

# (What is for Airflow 2 skips itself on Airflow 3.)
.PHONY: $(AIRFLOW_VERSIONS:%=airflow-%)
$(AIRFLOW_VERSIONS:%=airflow-%): airflow-%: .venv-%/.installed
	AIRFLOW_HOME=$(CURDIR)/build/airflow-$* .venv-$*/bin/python -m pytest tests/airflow tests/system/test_airflow_2.py

.PHONY: constraints
constraints: .venv-uv/.installed ## make the constraints files anew
	scripts/constraints.sh $(UV)

.PHONY: clean
clean: ## remove the virtual environments and what the tools left
	rm -rf .venv-* build dist docs/_build .coverage* .mypy_cache .pytest_cache .ruff_cache

# An environment is kept from run to run, unless its Python is gone; uv does what is missing.
$(AIRFLOW_VERSIONS:%=.venv-%/.installed): .venv-%/.installed: constraints/airflow-%.txt pyproject.toml | .venv-uv/.installed
	@python=$$(scripts/find-python.sh $*)
	$(@D)/bin/python -c '' 2>/dev/null || { rm -rf $(@D); $(UV) venv --quiet --seed --python "$$python" $(@D); }
	echo "Installing Airflow $* on $$($(@D)/bin/python --version) into $(@D) ..."
	$(UV) pip install --quiet --python $(@D)/bin/python --constraint $< --editable '.[dev$(if $(filter $(NEWEST),$*),$(comma)docs)]'
	touch $@

.venv-floor/.installed: constraints/floor.txt pyproject.toml | .venv-uv/.installed
	@python=$$(UV=$(UV) scripts/find-python.sh floor)
	$(@D)/bin/python -c '' 2>/dev/null || { rm -rf $(@D); $(UV) venv --quiet --seed --python "$$python" $(@D); }
	$(UV) pip install --quiet --python $(@D)/bin/python --constraint $< --editable '.[dev]'
	touch $@

# Always made anew: the newest of yesterday is not the newest of today.
.PHONY: .venv-ceiling/.installed
.venv-ceiling/.installed: | .venv-uv/.installed
	@python=$$(UV=$(UV) scripts/find-python.sh ceiling)
	$(UV) venv --quiet --clear --seed --python "$$python" $(@D)
	$(UV) pip install --quiet --upgrade --python $(@D)/bin/python --editable '.[dev]'

.venv-uv/.installed:
	@python=$$(scripts/find-python.sh $(NEWEST))
	"$$python" -m venv $(@D)
	$(@D)/bin/python -m pip install -qq uv
	touch $@
