"""The trainable torch modules, and their conversion to and from model files."""
