# Two commands: `make demo` runs the default study and its report, `make test` checks everything.
# Both make .venv on the first call and are quick afterwards.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Our pins, in place of whatever constraints the machine's pip is configured with.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test docs format clean

demo: $(VENV)/.run
	$(BIN)/ablate run digits

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@sh tests/servers.sh
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

docs: $(VENV)/.dev
	$(BIN)/python -m ablations.documentation
	$(BIN)/mkdocs build --strict

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $(VENV)/.run $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
