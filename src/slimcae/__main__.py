"""`python -m slimcae` is the command `slimcae`."""

from slimcae.cli import entry_point

if __name__ == "__main__":
    entry_point()
