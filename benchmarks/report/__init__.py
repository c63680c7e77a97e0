"""The parts of docs/results.md, each from the result files."""
