"""Models as data: architecture, weights, entropy models, description and files. No torch."""
