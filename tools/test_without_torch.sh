#!/bin/sh
# Test the codec, command line, Pillow plugin and studio from the wheel, in an environment without
# torch.
#     tools/test_without_torch.sh [options of pytest]
# .venv, which has torch, makes the tiny models for the tests.
set -eu
cd "$(dirname "$0")/.."
lean=.venv-without-torch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

.venv/bin/python -m hatchling build -t wheel -d "$work" > /dev/null
PYTHONPATH=tests:tests/cli:tests/codec .venv/bin/python tests/save_models.py "$work/models"

[ -d $lean ] || .venv/bin/python -m venv $lean
install="$lean/bin/python -m pip install --quiet --constraint constraints.txt"
export PIP_NO_WARN_SCRIPT_LOCATION=1
$install "$(echo "$work"/slimcae-*.whl)[studio]" pytest pytest-timeout pytest-xdist hypothesis httpx2
$install --force-reinstall --no-deps "$work"/slimcae-*.whl
! $lean/bin/python -c 'import torch' 2> /dev/null

SLIMCAE_TEST_MODELS=$work/models $lean/bin/python -m pytest --numprocesses 2 --dist loadfile \
    tests/codec tests/cli tests/studio tests/test_backend.py \
    tests/test_golden*.py tests/test_pillow.py tests/test_shipped.py "$@"
