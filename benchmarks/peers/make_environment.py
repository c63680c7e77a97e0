"""Install CompressAI into an environment of its own, beside this file (5.8 GB on Linux).

    python benchmarks/peers/make_environment.py

It needs numpy < 2 and brings a torch with CUDA, so it cannot live in the project's environment.
Runs with any Python that CompressAI has wheels for (3.9 to 3.12), and does nothing if it is there.
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
"""The environment, and what pip keeps for a while."""


def main() -> None:
    """Make it, or say that there is no room."""
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
