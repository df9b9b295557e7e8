# make demo [BAG=path]   run the real node on a bag and write out/demo/ (no ROS, no GPU needed)
# make test              linters, types and tests
# make lint              linters and types only
# make clean             remove what make made, the environment included
#
# PYTHON chooses the interpreter of the environment (3.10 to 3.13), VENV its folder.

PYTHON ?= python3
VENV ?= .venv
BAG ?=
OUT ?= out/demo

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
REQUIREMENTS := requirements

.PHONY: demo test lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/moe3d demo $(if $(BAG),--bag "$(BAG)") --out "$(OUT)"

# Two processes: the compilers of three vendors, torch and the ray tracer in a single one have crashed.
test: lint
	$(BIN)/python -m pytest -q --timeout 180 test/assets test/backends test/bags test/cli test/engine test/geometry test/graphs test/intake test/lab/commands test/lab/datasets test/lab/metrics test/lab/protocols test/lab/reports test/lab/runs test/model test/plans
	$(BIN)/python -m pytest -q --timeout 180 test/lab/synthetic test/lab/training test/launch test/node test/package test/tools

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
	@echo "== making the environment $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else \
	"Python 3.10 to 3.13 is needed; this is %d.%d. Try: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv "$(VENV)"

# A stamp is newer than what it was made of: requirements are installed again when they change.
$(VENV)/.demo: $(BIN)/python $(REQUIREMENTS)/demo.txt setup.py
	@echo "== installing what the demo needs (a minute or two)"
	$(PIP) -r $(REQUIREMENTS)/demo.txt
	$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.demo $(REQUIREMENTS)/test.txt $(REQUIREMENTS)/train.txt
	@echo "== installing what the tests need (some minutes; torch is large, see README)"
	$(PIP) -r $(REQUIREMENTS)/test.txt
	@touch $@

clean:
	rm -rf "$(VENV)" out build install log .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find moe3d_engine moe3d_ros test -name __pycache__ -type d -prune -exec rm -rf {} +
