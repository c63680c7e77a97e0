"""Training: data, warm start, loss, loop and λ-scheduling; independent of the entropy coder."""
