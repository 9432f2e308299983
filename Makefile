# `make run` creates the environment and runs the default workflow; `make test` runs all checks.
# Both are safe to repeat: whatever is up to date is kept. To choose an interpreter: PYTHON=python3.12 make run
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
BIN := .venv/bin
# $$PWD is expanded by the shell. If Make inserted the path, the shell would interpret quotes and dollar signs in it.
WITH_BIN := PATH="$$PWD/$(BIN):$$PATH"
SNAKEMAKE := $(WITH_BIN) $(BIN)/snakemake --workflow-profile workflow/profiles/default --cores $(CORES)

# Warnings and broken links are errors.
DOCS := $(BIN)/sphinx-build -E -q -W --keep-going docs docs/_build

.PHONY: help run test docs format clean

help:
	@echo "make run     create .venv, run the workflow on synthetic images, write results/report.html"
	@echo "make test    run formatters, linters and tests"
	@echo "make docs    build the documentation in docs/_build"
	@echo "make format  format Python and Snakemake files, update the table in config/README.md"
	@echo "make clean   remove .venv (keeps results/)"

run: .venv/.installed
	@echo "== Running the workflow on $(CORES) cores, from synthetic images to results/report.html"
	@$(SNAKEMAKE)
	@echo "== Open results/report.html in a browser."

test: .venv/.installed-test
	@echo "== Formatters and linters"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(WITH_BIN) $(BIN)/snakemake --lint
	@echo "== Documentation"
	@$(DOCS)
	@echo "== Installing SLURM and Chromium for the tests that need them, where possible"
	@tests/slurm/install.sh
	@tests/browser/install.sh
	@echo "== Tests"
	@$(WITH_BIN) $(BIN)/python -m pytest -n $(CORES)

docs: .venv/.installed-test
	@$(DOCS)
	@echo "== Open docs/_build/index.html in a browser."

format: .venv/.installed-test
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt Snakefile workflow
	@$(BIN)/python -m zoofuse.config.table config/README.md

clean:
	rm -rf .venv

# A colon separates folders in PATH. The other characters break the first line of the scripts that pip installs.
.venv/bin/python:
	@test "$$(printf %s "$$PWD" | tr -d ':"\\$$`\n')" = "$$PWD" || { \
		echo 'No Python environment can lie in a folder with : " \ $$ ` or a line break in its path. Move the project to one without:'; \
		printf '%s\n' "$$PWD"; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zoofuse needs Python 3.11 or later; try PYTHON=python3.11 make")'
	@echo "== Creating the environment in .venv (PyTorch with its libraries: about 6 GB, a few minutes)"
	@$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml requirements.lock
	@echo "== Installing the packages of requirements.lock"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c requirements.lock -e .
	@touch $@

.venv/.installed-test: .venv/.installed
	@$(BIN)/python -m pip install --disable-pip-version-check -q -c requirements.lock -e ".[test,docs]"
	@touch $@
