# All targets use .venv, which is set up on first use and updated when its inputs change.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# has small builds for Linux, where the default includes CUDA; other builds work, too
CPU_BUILDS := --extra-index-url https://download.pytorch.org/whl/cpu --retries 1

.PHONY: demo docs test test-processors test-without-torch test-ray check fuzz results

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# runs the tests as on processors without AVX-512 and bfloat16, then without AVX (x86-64 only);
# BESIDE=tools/beside_busy_loops.sh simulates a busy machine
test-processors: $(READY)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(BESIDE) $(MAKE) test
	ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default $(BESIDE) $(MAKE) test

# tests the wheel in an environment without torch
test-without-torch: $(READY)
	tools/test_without_torch.sh

# runs the tests of the Ray pipeline in their own environment, since Ray takes 600 MB
test-ray: $(READY)
	tools/test_ray.sh

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# builds the site in build/docs: open build/docs/index.html, without a server
docs: $(READY)
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees \
		docs build/docs

# generates docs/results.md, README.md's table and parts of other pages from the files in
# docs/results, without measuring anything
results: $(READY)
	$(BIN)/python benchmarks/make_results.py
	$(BIN)/python benchmarks/training_trials.py
	$(BIN)/python benchmarks/reference_systems.py

# coverage-guided fuzzing on Linux: one minute each for container and coder, and for model files
fuzz: $(READY)
	$(INSTALL) atheris
	@mkdir -p .fuzz
	$(BIN)/python tests/fuzz/fuzz_container.py .fuzz tests/fuzz/corpus -max_total_time=60 \
		-max_len=2048 -timeout=10 -rss_limit_mb=2048 -artifact_prefix=.fuzz/
	@mkdir -p .fuzz/models
	$(BIN)/python tests/fuzz/fuzz_models.py .fuzz/models -max_total_time=60 \
		-max_len=32768 -timeout=10 -rss_limit_mb=2048 -artifact_prefix=.fuzz/models/

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13, say")'
	@echo "Setting up .venv: this takes a few minutes, once ..."
	$(PYTHON) -m venv .venv
	$(INSTALL) pip
	$(INSTALL) $(CPU_BUILDS) torch
	$(INSTALL) --editable '.[train]' --group dev --group docs
	@touch $@
