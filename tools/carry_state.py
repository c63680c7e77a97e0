"""Pack a training state into pieces of 15 MiB for transfers with a size limit, and unpack it.

    python tools/carry_state.py pack runs/NAME/state.pt FOLDER
    python tools/carry_state.py unpack FOLDER runs/NAME/state.pt

The moments of the optimizers are rounded to bfloat16, which shrinks a state from 65 to 49 MiB.
Training continues well from it, but not exactly. The pieces are named state.00, state.01, …
"""

import argparse
import io
from pathlib import Path
from typing import Any

import torch

from slimcae.files import write_bytes
from slimcae.training.run_folder import load_state, save_state

PIECE_BYTES = 15 * 2**20
MOMENTS = ("exp_avg", "exp_avg_sq", "mean", "square")
"""Names of the moments of Adam and SOAP; bases and covariances of SOAP are not rounded."""


def pack(state_path: Path, folder: Path) -> list[Path]:
    """Write the pieces of a state, and return their paths."""
    content = io.BytesIO()
    torch.save(_moments_as(load_state(state_path), torch.bfloat16), content)
    data = content.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    pieces = []
    for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
        pieces.append(folder / f"state.{number:02d}")
        write_bytes(pieces[-1], data[start : start + PIECE_BYTES])
    return pieces


def unpack(folder: Path, state_path: Path) -> None:
    """Join the pieces in a folder into a state from which `slimcae train` continues."""
    data = b"".join(piece.read_bytes() for piece in sorted(folder.glob("state.[0-9][0-9]")))
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    state_path.parent.mkdir(parents=True, exist_ok=True)
    save_state(state_path, _moments_as(state, torch.float32))


def _moments_as(state: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    for name in ("optimizer", "soap"):
        for found in (state["trainer"].get(name) or {"state": {}})["state"].values():
            for moment in found.keys() & set(MOMENTS):
                found[moment] = found[moment].to(dtype)
    return state


def main() -> None:
    """Pack or unpack a state."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    if args.action == "pack":
        for path in pack(args.source, args.target):
            print(f"{path}: {path.stat().st_size:,} bytes")
    else:
        unpack(args.source, args.target)


if __name__ == "__main__":
    main()
