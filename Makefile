# Two commands do all the set-up: `make train` and `make test`. Needs Python 3.11 or newer, pip and a C++17 compiler.
PYTHON ?= python3
VENV ?= .venv
RUN_DIR ?= runs/HalfCheetah-v5-ds-td3-0
SOURCES := pyproject.toml CMakeLists.txt $(shell find src native cmake -type f -not -name '*.pyc')

.PHONY: train test clean
train: $(VENV)/installed
	@if [ -e $(RUN_DIR)/config.json ]; then $(VENV)/bin/rewirl resume $(RUN_DIR); \
	else $(VENV)/bin/rewirl train --agent ds-td3 --env HalfCheetah-v5 --run-dir $(RUN_DIR); fi

test: $(VENV)/installed-for-tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest

$(VENV)/bin/python:
	@command -v $(PYTHON) > /dev/null || { echo "Rewirl needs Python 3.11 or newer; $(PYTHON) is not there. Install it (Debian: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Rewirl needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name a newer one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment. Debian: apt install python3-venv"; exit 1; }

.PHONY: compiler
compiler:
	@command -v $${CXX:-c++} > /dev/null || command -v g++ > /dev/null || command -v clang++ > /dev/null || { echo "Rewirl compiles its core and found no C++ compiler. Install one: Debian and Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install. Or name yours: make CXX=/path/to/c++"; exit 1; }

$(VENV)/installed: $(SOURCES) | compiler $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet .
	@touch $@

$(VENV)/installed-for-tests: $(SOURCES) | compiler $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet '.[test]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build
