# One command list for people and for CI. `make` alone prints it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that is 3.11 to 3.13 and can make a virtual environment builds .venv. 3.11 comes first
# because Blender's Python module exists for no other. To choose: make test PYTHON=python3.12
PYTHON ?= python3.11 python3.12 python3.13 python3

# On Linux x86-64 the default torch wheel brings several GB of CUDA packages. Without a GPU, set this to the
# CPU wheel index that PyTorch's "Start Locally" page names: make demo TORCH_INDEX_URL=https://…
TORCH_INDEX_URL ?=

# Processes that pytest uses.
WORKERS ?= 2

pip_install := .venv/bin/python -m pip install --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))

.PHONY: help demo test lint types format bench clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed ## install, then train, evaluate and report a small study
	.venv/bin/simgap study demo
	@echo "Open results/demo/report.html"

test: lint types ## install, check style and types, run all tests
	.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: .venv/.installed-dev ## check style and formatting
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/.installed-dev ## check types
	.venv/bin/mypy

format: .venv/.installed-dev ## rewrite the code in the house's style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: .venv/.installed ## compare speeds and print their ratios
	.venv/bin/simgap bench

clean: ## delete caches and build output (keeps .venv, runs/ and results/)
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache MUJOCO_LOG.TXT
	find . \( -name .venv -o -name .git \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Made again where it is missing or broken (an interrupted set-up, a Python that has since been removed).
.venv/.installed: pyproject.toml constraints.txt
	@.venv/bin/python -m pip --version >/dev/null 2>&1 && exit 0; \
	chosen=''; seen=''; \
	for python in $(PYTHON); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
		case $$version in \
			3.11|3.12|3.13) ;; \
			*) seen="$$seen $$python is $$version."; continue ;; \
		esac; \
		if $$python -c 'import ensurepip, venv' 2>/dev/null; then chosen=$$python; break; fi; \
		seen="$$seen $$python cannot make virtual environments (Debian: apt-get install python3-venv)."; \
	done; \
	if [ -z "$$chosen" ]; then \
		echo "error: simgap needs Python 3.11, 3.12 or 3.13.$${seen:- None of '$(PYTHON)' runs.} Choose one with PYTHON=…" >&2; \
		exit 1; \
	fi; \
	"$$chosen" -m venv --clear .venv
	$(pip_install) --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed
	$(pip_install) --editable '.[cluster,dev,pose,synth,wandb]'
	$(pip_install) --no-deps mmpose
	@touch $@
