"""`python SlimCAE_PyTorch.py train …` is `slimcae train …`, and so on for every command."""

from slimcae.__main__ import entry_point

if __name__ == "__main__":
    entry_point()
