"""Integers to bytes and back: probability tables, and the range coder that uses them."""
