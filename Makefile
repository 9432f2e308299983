# The two commands: `make run` makes the environment and the default run, `make test` checks everything.
# Safe to repeat: what is there and up to date is kept. PYTHON=python3.12 make run takes another interpreter.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
BIN := .venv/bin
# By the shell's own name of this folder: in one that Make puts in, a quote or a dollar sign would be the shell's.
WITH_BIN := PATH="$$PWD/$(BIN):$$PATH"
SNAKEMAKE := $(WITH_BIN) $(BIN)/snakemake --workflow-profile workflow/profiles/default --cores $(CORES)

# Warnings are errors, and so are links that lead nowhere.
DOCS := $(BIN)/sphinx-build -E -q -W --keep-going docs docs/_build

.PHONY: help run test docs format clean

help:
	@echo "make run     environment in .venv, the default run on drawn images, results/report.html"
	@echo "make test    formatters, linters and tests"
	@echo "make docs    the documentation, into docs/_build"
	@echo "make format  format Python and Snakemake files, write config/README.md's table"
	@echo "make clean   remove .venv (results/ is kept)"

run: .venv/.installed
	@echo "== Running the workflow on $(CORES) cores: drawn images to results/report.html"
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
	@echo "== Programs that some tests need: SLURM and Chromium, where they can be installed"
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
	@$(BIN)/python -m zoofuse.config_table config/README.md

clean:
	rm -rf .venv

# A colon ends a folder in PATH; the others are not safe in the first lines of the commands that pip installs.
.venv/bin/python:
	@test "$$(printf %s "$$PWD" | tr -d ':"\\$$`\n')" = "$$PWD" || { \
		echo 'No Python environment can lie in a folder with : " \ $$ ` or a line break in its path. Move the project to one without:'; \
		printf '%s\n' "$$PWD"; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zoofuse needs Python 3.11 or later; try PYTHON=python3.11 make")'
	@echo "== Making the environment in .venv (PyTorch with its libraries: about 6 GB, a few minutes)"
	@$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml requirements.lock
	@echo "== Installing the packages of requirements.lock"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c requirements.lock -e .
	@touch $@

.venv/.installed-test: .venv/.installed
	@$(BIN)/python -m pip install --disable-pip-version-check -q -c requirements.lock -e ".[test,docs]"
	@touch $@
