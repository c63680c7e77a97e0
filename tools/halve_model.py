"""Rewrite a model file with float16 kernels, which halves its size for transfer.

    python tools/halve_model.py runs/NAME/model.safetensors half.safetensors

The script needs only the packages that training needs. `slimcae fit --half` does the same, and
fits the tables.
"""

import argparse
from pathlib import Path

from slimcae.model.file import halved, read_model, write_model


def main() -> None:
    """Read a model, round its kernels, and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    write_model(args.output, halved(read_model(args.model)), half=True)
    print(f"{args.output}: {args.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
