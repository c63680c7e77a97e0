"""Training: data, warm start, loss, loop and λ-scheduling; runs without the entropy coder."""
