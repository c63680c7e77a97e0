"""Install CompressAI into its own environment, next to this file (5.8 GB on Linux).

    python benchmarks/peers/make_environment.py

CompressAI needs numpy < 2 and installs torch with CUDA, so it cannot share the project's
environment. The script runs with any Python that CompressAI has wheels for (3.9 to 3.12), and does
nothing if the environment exists.
"""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / ".venv"
PYTHON = FOLDER / "bin" / "python"
NEEDED_BYTES = 8_000_000_000
"""Disk space for the environment and for pip's temporary files."""


def main() -> None:
    """Make the environment, or exit if the disk is too full."""
    requirements = HERE / "requirements.txt"
    done = FOLDER / ".ready"
    if done.exists() and done.read_text() == requirements.read_text():
        return
    free = shutil.disk_usage(HERE).free
    if free < NEEDED_BYTES and not FOLDER.exists():
        sys.exit(f"{free / 1e9:.1f} GB are free here, {NEEDED_BYTES / 1e9:.0f} GB are needed")
    print("Installing CompressAI: 5.8 GB, some minutes, once ...", file=sys.stderr)
    venv.create(FOLDER, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    subprocess.run([*pip, "--requirement", str(requirements)], check=True)
    done.write_text(requirements.read_text())


if __name__ == "__main__":
    main()
