"""What a model is, as data: architecture, numbers, integers, description, files. Never torch."""
