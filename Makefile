# Every target sets up .venv by itself, and again only when the dependencies have changed.
#   make notebooks   run the whole course, with a gallery of its pictures
#   make lab         open it in JupyterLab (in a container: LAB_FLAGS=--allow-root)
#   make demo        train an autoencoder in under two minutes
#   make test        lint, unit tests and notebooks on one backend: BACKEND=tensorflow|jax|torch
#   make test-all    every test and every notebook on all three: weekly, and before a release
#   make ci          what CI runs on one backend: of the notebooks, those whose home it is
#   make faults      plant faults in the sources, one at a time: the tests of `ci` must catch each
#   make slides      slides for the lecture hall, into build/slides
#   make calibrate   every claim on three backends with four seeds, into notebooks/calibration.jsonl
#   make book        the course, the zoo and the API as a site in build/book
#   make check-book  look at every page of it in Chromium, without the network
#   make refresh     re-execute the committed notebooks in place and rewrite the course's pages

BACKEND ?= tensorflow
PYTHON ?= python3
CONSTRAINTS ?= .ci/constraints.txt
BACKENDS := tensorflow jax torch

ifeq ($(filter $(BACKEND),$(BACKENDS)),)
$(error BACKEND is '$(BACKEND)', expected one of: $(BACKENDS))
endif

# On Linux, TensorFlow's small build: the course needs no GPU.
EXTRA := $(BACKEND)
ifeq ($(BACKEND)-$(shell uname -sm),tensorflow-Linux x86_64)
EXTRA := tensorflow-cpu
endif

BIN := .venv/bin
INSTALL ?= $(BIN)/python -m pip install --quiet --disable-pip-version-check
READY := .venv/ready-$(BACKEND)

export KERAS_BACKEND := $(BACKEND)
export TF_CPP_MIN_LOG_LEVEL := 3
# oneDNN's order of addition can depend on where an array lies, and the last bit with it.
export TF_ENABLE_ONEDNN_OPTS := 0
# Networks this small gain nothing from more threads, and two notebooks run side by side.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1

NBVAL := -p no:python -p no:cacheprovider --nbval-lax --nbval-current-env \
	--nbval-cell-timeout=180 --nbval-kernel-startup-timeout=120 --durations=20 \
	-n 2 --dist loadscope --no-loadscope-reorder

# The longest first, so that no worker is left with one at the end.
NOTEBOOKS ?= $(shell $(BIN)/python notebooks/course list)
# A unit test that is at home on other backends is left out, but by `test-all`.
SELECTION ?= --ci

.PHONY: notebooks lab demo test test-all ci faults all-ready lint unit nbval refresh slides calibrate book \
	check-book clean

notebooks: $(READY)
	$(ONE_THREAD) $(BIN)/python notebooks/course run --output build/notebooks

lab: $(READY)
	$(BIN)/jupyter lab $(LAB_FLAGS) notebooks

demo: $(READY)
	$(ONE_THREAD) $(BIN)/python -m kerasae demo --output build/demo

test: lint unit nbval

# A stage of .ci/run: of the notebooks, those that the ledger gives to this backend.
ci: NOTEBOOKS = $(shell $(BIN)/python notebooks/course list --backend $(BACKEND))
ci: all-ready lint unit nbval

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: $(READY)
	$(ONE_THREAD) $(BIN)/python -m pytest tests -p no:nbval $(SELECTION) -n 2 --dist worksteal --durations=10

nbval: $(READY)
	$(ONE_THREAD) $(BIN)/python -m pytest $(NBVAL) $(NOTEBOOKS)

# Each backend loads what the others have saved: a missing one is an error.
ci test-all: export KERASAE_ALL_BACKENDS := 1
# What fails on one backend hides nothing of the others.
test-all: export SELECTION :=
test-all: all-ready
	failed=; for backend in $(BACKENDS); do $(MAKE) -k test BACKEND=$$backend || failed="$$failed $$backend"; done; \
	test -z "$$failed" || { echo "failed on$$failed" >&2; exit 1; }

refresh: $(READY)
	$(ONE_THREAD) $(BIN)/python notebooks/course run --in-place
	$(BIN)/python notebooks/course pages

slides: $(READY)
	$(BIN)/python notebooks/course slides --output build/slides $(NAMES)

calibrate: all-ready
	$(ONE_THREAD) $(BIN)/python notebooks/course calibrate $(NAMES)

faults: all-ready
	$(BIN)/python tests/faults/plant.py $(NAMES)

all-ready:
	for backend in $(BACKENDS); do $(MAKE) .venv/ready-$$backend BACKEND=$$backend || exit 1; done

book: .venv/ready-book
	$(BIN)/python notebooks/book build --output build/book

check-book: book
	$(BIN)/python notebooks/book check build/book

.venv/ready-book: $(READY)
	$(INSTALL) $(addprefix -c ,$(CONSTRAINTS)) -e ".[book]"
	touch $@

$(READY): pyproject.toml $(wildcard $(CONSTRAINTS))
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(INSTALL) $(addprefix -c ,$(CONSTRAINTS)) -e ".[$(EXTRA),dev]"
	touch $@

clean:
	rm -rf .venv build dist
