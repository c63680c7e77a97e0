"""The torch modules that train, and how they become model files and come back from them."""
