# `make train` and `make test` do all the set-up. Needs Python 3.11 or newer, pip and a C++17 compiler.
# For working on Rewirl: `make dev` (an editable install that rebuilds the core), `make quick` (lint, types, fast tests), `make format`.
PYTHON ?= python3
VENV ?= .venv
RUN_DIR ?= runs/HalfCheetah-v5-ds-td3-0
CORE = $(shell find native tests benchmarks -name '*.[ch]pp')
SOURCES := pyproject.toml CMakeLists.txt $(shell find src native cmake -type f -not -name '*.pyc')
installing = @echo "Installing what Rewirl needs into $(VENV), and compiling its core: a few minutes, without a word."

.PHONY: train test dev quick lint tests-of-runs other-tests tests-of-dm-control fast-tests aarch64 format clean
train: $(VENV)/installed
	@trap : INT; if [ -e $(RUN_DIR)/config.json ]; then $(VENV)/bin/rewirl resume $(RUN_DIR); \
	else $(VENV)/bin/rewirl train --preset ds-drl/ds-td3/HalfCheetah-v5 --run-dir $(RUN_DIR); fi || \
	{ code=$$?; [ $$code = 130 ] || exit $$code; }  # Ctrl-C has saved the run: that is no error

test: $(VENV)/installed-for-tests
	@$(MAKE) --no-print-directory --jobs=3 other-tests tests-of-runs lint tests-of-dm-control

# Python files are used where they lie; the core is compiled again when it is imported after a change.
dev: $(VENV)/installed-for-development
$(VENV)/installed-for-development: pyproject.toml CMakeLists.txt | compiler $(VENV)/bin/python
	$(installing)
	$(VENV)/bin/python -m pip install --quiet 'scikit-build-core>=0.11' 'nanobind>=2.4' 'cmake>=3.20' 'ninja>=1.11' setuptools wheel
	$(VENV)/bin/python -m pip install --quiet --no-build-isolation -Ceditable.rebuild=true -Ceditable.verbose=false -Cbuild-dir=build/dev -e '.[test]'
	@rm -f $(VENV)/installed $(VENV)/installed-for-tests
	@touch $@

# Lint and types beside the fast tests, in whatever is installed: under a minute. What compiles the core is in VENV.
# What `make test` installed is a copy, which is made again if a file has changed.
quick: export PATH := $(abspath $(VENV))/bin:$(PATH)
quick:
	@[ -e $(VENV)/installed-for-development ] || [ -e $(VENV)/installed-for-tests ] || { echo "Nothing is installed yet: make dev"; exit 1; }
	@[ -e $(VENV)/installed-for-development ] || $(MAKE) --no-print-directory $(VENV)/installed-for-tests
	@$(MAKE) --no-print-directory --jobs=2 lint fast-tests

lint:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run --Werror $(CORE)
	$(VENV)/bin/mypy

# All tests in two halves that take about as long, one for each of two cores.
RUNS = tests/experiments tests/storage tests/torture tests/training
tests-of-runs:
	$(VENV)/bin/python -m pytest -q $(RUNS)

other-tests:
	$(VENV)/bin/python -m pytest -q tests $(RUNS:%=--ignore=%)

# dm_control needs an older MuJoCo than Gymnasium does. So its tests have an environment with these two, in which all
# else is that of the first one; pip takes the versions from what Rewirl says there of its extra.
DM_CONTROL = $(VENV)/dm-control
tests-of-dm-control: $(DM_CONTROL)/installed
	$(DM_CONTROL)/bin/python -m pytest -q tests/test_dm_control.py

$(DM_CONTROL)/installed: pyproject.toml | $(VENV)/installed-for-tests
	@rm -rf $(DM_CONTROL)
	@$(VENV)/bin/python -m venv --without-pip $(DM_CONTROL)
	@first=$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	echo "import site; site.addsitedir('$$first')" > \
		$$($(DM_CONTROL)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/first.pth
	$(VENV)/bin/python -m pip --python $(DM_CONTROL)/bin/python install --quiet --no-compile 'rewirl[dm-control]'
	@touch $@

fast-tests:
	$(VENV)/bin/python -m pytest -q -x -m quick

# The core's own tests on AArch64 (NEON), emulated. Debian: apt install g++-aarch64-linux-gnu qemu-user
aarch64: $(VENV)/installed-for-development
	$(VENV)/bin/cmake -S . -B build/aarch64 -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(VENV)/bin/ninja) -DREWIRL_NATIVE_TESTS=ON \
		-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
	$(VENV)/bin/cmake --build build/aarch64 --target native_tests
	qemu-aarch64 -L /usr/aarch64-linux-gnu build/aarch64/native_tests

format:
	@[ -e $(VENV)/bin/ruff ] || { echo "Nothing is installed yet: make dev"; exit 1; }
	$(VENV)/bin/ruff check --fix --quiet .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(CORE)

$(VENV)/bin/python:
	@command -v $(PYTHON) > /dev/null || { echo "Rewirl needs Python 3.11 or newer; $(PYTHON) is not there. Install it (Debian: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Rewirl needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name a newer one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment. Debian: apt install python3-venv"; exit 1; }

.PHONY: compiler
compiler:
	@command -v $${CXX:-c++} > /dev/null || command -v g++ > /dev/null || command -v clang++ > /dev/null || { echo "Rewirl compiles its core and found no C++ compiler. Install one: Debian and Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install. Or name yours: make CXX=/path/to/c++"; exit 1; }

$(VENV)/installed: $(SOURCES) | compiler $(VENV)/bin/python
	$(installing)
	$(VENV)/bin/python -m pip install --quiet .
	@rm -f $(VENV)/installed-for-development
	@touch $@

# Python compiles a module when it is first imported. Most of what the tests' libraries hold never is.
$(VENV)/installed-for-tests: $(SOURCES) | compiler $(VENV)/bin/python
	$(installing)
	$(VENV)/bin/python -m pip install --quiet --no-compile '.[test]'
	@rm -f $(VENV)/installed-for-development
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build
