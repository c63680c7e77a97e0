"""Integers to bytes and back: probability tables and the entropy coder. Never imports torch."""
