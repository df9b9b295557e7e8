# make demo [BAG=path]   run the real node on a bag and write out/demo/ (no ROS, no GPU needed)
# make test              linters, types and tests, with ROS 2 Kilted and with Jazzy
# make soak [MINUTES=1]   kills, signals, malformed messages, minutes at 30 Hz; out/soak/report.txt
# make tf                the tests of TF over the middleware: builds tf2_msgs, of which there is no wheel
# make lint              linters and types only
# make clean             remove what make made, the environments included
#
# PYTHON chooses the interpreter of the environments (3.10 to 3.13), VENV and VENV_JAZZY their
# folders. JOBS parts of `make test` run at a time; what each prints is kept in LOGS.

PYTHON ?= python3
VENV ?= .venv
VENV_JAZZY ?= .venv-jazzy
BAG ?=
OUT ?= out/demo
JOBS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))
LOGS ?= out/test
MINUTES ?= 10

SHELL := bash
.SHELLFLAGS := -o pipefail -ec

BIN := $(VENV)/bin
JAZZY_BIN := $(VENV_JAZZY)/bin
PIP := python -m pip install --disable-pip-version-check --quiet
REQUIREMENTS := requirements

# The parts of `make test`, longest first. Apart also because the compilers of three vendors, torch
# and the ray tracer in a single process have crashed.
PARTS := build training ros-kilted commands lab engine backends ros-jazzy robot model lint

# Instruction sets beyond AVX2 that the runtimes would use; what depends on them runs without, too.
BEYOND_AVX2 := $(shell grep -m 1 '^flags' /proc/cpuinfo | grep -owE 'avx512f|avx512_bf16|avx_vnni|amx_tile')
# Where the CPU computes bf16, OpenVINO goes by the CPU and not by what oneDNN is held to: it
# compiles for bf16 that is asked for and fails, and its own elementwise kernels stay as they are.
ifneq ($(BEYOND_AVX2),)
ifeq ($(filter avx512_bf16 amx_tile,$(BEYOND_AVX2)),)
PARTS += held-down
endif
endif

.PHONY: demo test soak tf parts clean $(PARTS)
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/moe3d demo $(if $(BAG),--bag "$(BAG)") --out "$(OUT)"

test: $(VENV)/.test $(VENV_JAZZY)/.more
	@echo "== $(JOBS) at a time, each printed when it has ended: $(PARTS)"
	@echo "== instruction sets beyond AVX2: $(or $(BEYOND_AVX2),none); \
	$(if $(filter held-down,$(PARTS)),held-down runs without them,no part runs again without them)"
	@rm -rf "$(LOGS)"; mkdir -p "$(LOGS)"; shared=$$(mktemp -d); trap 'rm -rf "$$shared"' EXIT; \
	failed=0; $(MAKE) --no-print-directory --jobs=$(JOBS) --keep-going --output-sync=target \
	    SHARED="$$shared" parts || failed=$$?; \
	echo "== the end of each part; all of it in $(LOGS)"; tail -n 1 "$(LOGS)"/*.log; exit $$failed

# Too long for each change: once a night.
soak: $(VENV)/.test
	@rm -rf out/soak
	MOE3D_SOAK_MINUTES="$(MINUTES)" $(BIN)/$(PYTEST) -m soak test/node test/soak
	@cat out/soak/report.txt
	$(BIN)/moe3d fuzz --seconds $$((60 * $(MINUTES))) --seed "$$(date +%s)"

# A minute of compiling for a message that PyPI does not have.
tf: $(VENV)/.test
	test/tf2_msgs/build.sh "$(VENV)"
	$(BIN)/$(PYTEST) test/inputs test/outputs test/tools/live

parts: $(PARTS)

# Networks this small only lose time when threads wait for each other.
ENVIRONMENT := OMP_NUM_THREADS=1
ifdef SHARED
ENVIRONMENT += MOE3D_TEST_SHARED="$(SHARED)"
TINY := $(SHARED)/tiny/tiny.json
SWEEPING := $(SHARED)/sweeping/sweeping.json
endif
PYTEST := python -m pytest -q --timeout 600 -p no:cacheprovider
LOG = 2>&1 | tee "$(LOGS)/$@.log"

$(SHARED)/tiny/tiny.json:
	@$(ENVIRONMENT) $(BIN)/python test/export_tiny.py "$(@D)"

$(SHARED)/sweeping/sweeping.json:
	@$(ENVIRONMENT) $(BIN)/python test/export_sweeping.py "$(@D)"

build: $(TINY) $(SWEEPING)
	@$(ENVIRONMENT) $(BIN)/$(PYTEST) test/graphs test/plans $(LOG)

backends: $(TINY) $(SWEEPING)
	@$(ENVIRONMENT) $(BIN)/$(PYTEST) test/backends $(LOG)

commands: $(TINY)
	@$(ENVIRONMENT) $(BIN)/$(PYTEST) test/cli test/lab/commands $(LOG)

engine: $(TINY)
	@$(ENVIRONMENT) $(BIN)/$(PYTEST) test/assets test/bags test/conformance test/engine test/geometry test/intake \
	test/mapping test/rig test/scale test/tracking $(LOG)

lab: $(TINY)
	@$(ENVIRONMENT) $(BIN)/$(PYTEST) test/lab/datasets test/lab/fuzz test/lab/mappers test/lab/metrics \
	test/lab/protocols test/lab/reports test/lab/runs $(LOG)

model:
	@$(ENVIRONMENT) $(BIN)/$(PYTEST) test/model $(LOG)

training:
	@$(ENVIRONMENT) $(BIN)/$(PYTEST) test/lab/training test/lab/synthetic $(LOG)

ros-kilted: $(TINY)
	@$(ENVIRONMENT) $(BIN)/$(PYTEST) test/inputs test/launch test/node test/outputs test/package test/robot test/tools $(LOG)

held-down: $(TINY) $(SWEEPING)
	@$(ENVIRONMENT) ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
	$(BIN)/$(PYTEST) -m instruction_sets test/backends test/graphs test/plans test/model $(LOG)

# An environment that was sourced has ROS_DISTRO; the wheels set nothing.
JAZZY := $(ENVIRONMENT) ROS_DISTRO=jazzy

robot:
	@$(JAZZY_BIN)/python -c 'from importlib.util import find_spec; \
	found = [name for name in ("torch", "scipy", "matplotlib", "embreex", "onnx") if find_spec(name)]; \
	assert not found, f"more than a robot has: {found}"'
	@$(JAZZY) $(JAZZY_BIN)/$(PYTEST) test/robot test/inputs test/node test/outputs $(LOG)

ros-jazzy: $(TINY)
	@$(JAZZY) PYTHONPATH="$(abspath $(VENV_JAZZY)/more)" $(JAZZY_BIN)/$(PYTEST) test/tools $(LOG)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

%/bin/python:
	@echo "== making the environment $* with $(PYTHON)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else \
	"Python 3.10 to 3.13 is needed; this is %d.%d. Try: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv "$*"

# A stamp is newer than what it was made of: requirements are installed again when they change.
NODE := $(REQUIREMENTS)/node.txt
SCENES := $(REQUIREMENTS)/scenes.txt
EVALUATE := $(REQUIREMENTS)/evaluate.txt

$(VENV)/.demo: $(BIN)/python $(REQUIREMENTS)/demo.txt $(NODE) $(SCENES) $(EVALUATE) setup.py
	@echo "== installing what the demo needs (a minute or two)"
	$(BIN)/$(PIP) -r $(REQUIREMENTS)/demo.txt
	$(BIN)/$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.demo $(addprefix $(REQUIREMENTS)/,test.txt train.txt pytest.txt)
	@echo "== installing what the tests need (some minutes; torch is large, see README)"
	$(BIN)/$(PIP) -r $(REQUIREMENTS)/test.txt
	@touch $@

$(VENV_JAZZY)/.robot: $(JAZZY_BIN)/python $(NODE) $(addprefix $(REQUIREMENTS)/,jazzy.txt pytest.txt) setup.py
	@echo "== installing what a robot with ROS 2 Jazzy has"
	$(JAZZY_BIN)/$(PIP) -r $(REQUIREMENTS)/jazzy.txt -r $(REQUIREMENTS)/pytest.txt
	$(JAZZY_BIN)/$(PIP) --no-deps --editable .
	@touch $@

# What the tests of evaluation and demo need lies in a folder: the environment stays a robot's.
$(VENV_JAZZY)/.more: $(VENV_JAZZY)/.robot $(SCENES) $(EVALUATE)
	$(JAZZY_BIN)/python -m pip freeze --exclude-editable > $(VENV_JAZZY)/installed.txt
	$(JAZZY_BIN)/$(PIP) --upgrade --target $(VENV_JAZZY)/more \
	    -c $(VENV_JAZZY)/installed.txt -r $(SCENES) -r $(EVALUATE)
	@touch $@

clean:
	rm -rf "$(VENV)" "$(VENV_JAZZY)" out build install log .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find moe3d_engine moe3d_ros test -name __pycache__ -type d -prune -exec rm -rf {} +
