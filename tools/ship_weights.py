"""Make the model file that ships inside the package from one that training wrote.

    python tools/ship_weights.py runs/NAME/model.safetensors --name slimcae --version 0.1

Kernels are rounded to float16 and the coding tables built from exactly those numbers.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from slimcae.model.checkpoint import load_model, save_model
from slimcae.models import shipped_model


def main() -> None:
    """Read, round, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--name", default="slimcae")
    parser.add_argument("--version", required=True)
    parser.add_argument("--output", type=Path, default=shipped_model())
    args = parser.parse_args()
    model = load_model(args.model)
    args.output.parent.mkdir(exist_ok=True)
    info = replace(model.info, name=args.name, version=args.version)
    save_model(args.output, model, info, half=True)
    print(f"{args.output}: {args.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
