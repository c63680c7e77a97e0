#!/bin/sh
# Test slimcae.ray from the wheel, in an environment with Ray and without torch.
#     tools/test_ray.sh [options of pytest]
set -eu
cd "$(dirname "$0")/.."
ray=.venv-ray
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

.venv/bin/python -m hatchling build -t wheel -d "$work" > /dev/null
[ -d $ray ] || .venv/bin/python -m venv $ray
install="$ray/bin/python -m pip install --quiet --constraint constraints.txt"
export PIP_NO_WARN_SCRIPT_LOCATION=1
$install "$(echo "$work"/slimcae-*.whl)[ray]" pytest pytest-timeout hypothesis
$install --force-reinstall --no-deps "$work"/slimcae-*.whl

$ray/bin/python -m pytest tests/on_ray "$@"
