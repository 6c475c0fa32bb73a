# `make` lists what there is. Everything happens in .venv, which the first target that needs it creates.
#
# Another Python:        make demo PYTHON=/usr/local/bin/python3.13
# Linux without a GPU:   plain torch brings some gigabytes of CUDA with it. PyTorch's own index has the small build:
#                        PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
DOORS := .venv-doors
DOOR_TESTS := tests/libero tests/serve tests/export tests/policies/test_websocket.py tests/policies/test_groot.py tests/test_sb3.py \
	tests/test_minari.py tests/test_qwen_agent.py tests/test_grpo.py tests/test_doors.py
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p $(NEW_ENOUGH) 2>/dev/null && { echo $$p; break; }; done)
INSTRUCTION ?= put the red cube in the blue bowl
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo live test test-doors lint format bench lock clean

help: ## this list
	@echo 'Usage: make TARGET [PYTHON=python3.12] [ARGS="..."]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-11s %s\n", $$1, $$2 }'

demo: $(VENV)/.core ## a model puts the red cube in the blue bowl: film and page in runs/ (INSTRUCTION="..." for your own)
	@$(BIN)/qwenarm run "$(INSTRUCTION)" $(ARGS)

live: $(VENV)/.live ## the live page: tell the arm what to do in a browser (ARGS="--kiosk", ARGS="--host 0.0.0.0")
	@$(BIN)/qwenarm demo $(ARGS)

# One process more than there are cores, because some tests wait: for a voice, a browser or a process that starts.
# Many containers forbid bytecode files; then every process that the tests start would compile everything anew.
test: $(VENV)/.dev ## all tests but the slow ones, on all cores (ARGS="-m slow" for those, ARGS="-n 0 --pdb" to look around)
	@unset PYTHONDONTWRITEBYTECODE; OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} PYTEST_XDIST_AUTO_NUM_WORKERS=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) \
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

test-doors: $(DOORS)/.done $(DOORS)-lerobot/.done $(DOORS)-openenv/.done ## docs/doors.md against the real libraries of the other side, in environments of their own
	@QWENARM_TEST_DOORS=1 OMP_NUM_THREADS=1 \
	QWENARM_LEROBOT_PYTHON=$(CURDIR)/$(DOORS)-lerobot/bin/python QWENARM_OPENENV_PYTHON=$(CURDIR)/$(DOORS)-openenv/bin/python \
	$(DOORS)/bin/python -m pytest -n 0 $(DOOR_TESTS) $(ARGS)

lint: $(VENV)/.dev ## ruff and pyright
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

format: $(VENV)/.dev ## let ruff put everything in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## every claim on speed, measured anew into benchmarks/results/
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

lock: $(VENV)/.dev ## write down the installed versions in constraints.txt
	@{ echo "# What was installed when the tests last passed. 'make lock' writes it anew."; \
	$(BIN)/python -m pip freeze --all --exclude-editable | grep -vi '^\(pip\|wheel\)==' | sed 's/+cpu//' | sort -f; } > constraints.tmp
	@mv constraints.tmp constraints.txt

clean: ## remove .venv and all caches (runs/ stays)
	rm -rf $(VENV) $(DOORS) $(DOORS)-lerobot $(DOORS)-openenv .pytest_cache .ruff_cache .hypothesis

# The stamps make the second time quick: pip runs again only after a change of the wanted versions.
$(VENV)/.core: pyproject.toml constraints.txt
	@$(call install,-e .)
	@touch $@

$(VENV)/.live: pyproject.toml constraints.txt
	@$(call install,-e ".[demo]")
	@touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml constraints.txt
	@$(call install,-e ".[arms$(comma)train$(comma)ray$(comma)demo$(comma)dev]")
	@touch $@ $(VENV)/.core $(VENV)/.live

# Three environments, for lerobot and OpenEnv pin other versions than we need, and openpi-client an older NumPy than it
# works with. inspect-ai wants an older fsspec and python-dateutil than constraints.txt names. Each environment has a
# stamp: what was stopped goes on where it was. Without torchcodec, which needs FFmpeg's shared libraries, lerobot reads
# videos with PyAV, which brings its own.
$(DOORS)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(DOORS)
	@grep -viE '^(fsspec|python-dateutil)==' constraints.txt > $(DOORS)/constraints.txt
	@$(call install_into,$(DOORS)) -c $(DOORS)/constraints.txt -e ".[mcp$(comma)export$(comma)libero$(comma)dev]" \
		"trl>=1.16" "stable-baselines3>=2.9" "minari[create$(comma)arrow]>=0.5" dm-tree
	@$(call install_into,$(DOORS)) --no-deps openpi-client
	@touch $@

$(DOORS)-lerobot/.done:
	@$(PYTHON) -m venv $(DOORS)-lerobot
	@$(call install_into,$(DOORS)-lerobot) "lerobot>=0.4.4$(comma)<0.5"
	@$(DOORS)-lerobot/bin/python -m pip uninstall --quiet --yes torchcodec
	@touch $@

$(DOORS)-openenv/.done: pyproject.toml
	@$(PYTHON) -m venv $(DOORS)-openenv
	@$(call install_into,$(DOORS)-openenv) -e ".[openenv]" "qwen-agent[mcp]" soundfile
	@touch $@

install_into = echo "Installing into $(1) (some minutes) ..."; $(1)/bin/python -m pip install --quiet --disable-pip-version-check
comma := ,
define install
test -n "$(PYTHON)" || { echo "qwenarm needs Python 3.11 or newer; none was found. Name one: make demo PYTHON=/path/to/python3.12"; exit 2; }; \
$(PYTHON) $(NEW_ENOUGH) || { echo "qwenarm needs Python 3.11 or newer; $(PYTHON) is older."; exit 2; }; \
test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	echo "Python cannot make a virtual environment. On Debian or Ubuntu: sudo apt install python3-venv"; exit 2; }; \
echo "Installing into $(VENV) (the first time this takes some minutes: torch is large) ..."; \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(1)
endef
