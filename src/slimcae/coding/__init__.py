"""Entropy coding of integers: entropy models, probability tables and the range coder."""
