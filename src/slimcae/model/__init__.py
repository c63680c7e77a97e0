"""The network: slimmable transforms, normalization, entropy bottleneck, and the model file."""
