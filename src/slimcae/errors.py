"""The exceptions that SlimCAE raises for bad input: one tree, one line of text each.

Every message says what went wrong, with which value, what is allowed, and what to do next.
"""


class SlimCAEError(Exception):
    """Base of all errors that bad input can cause; catch this one to catch them all."""


class ImageError(SlimCAEError):
    """A picture cannot be read or written, or has a size or mode that is not supported."""


class PictureTooLargeError(ImageError):
    """A picture has more pixels than whoever reads it allows."""


class ModelError(SlimCAEError):
    """A model file is missing, damaged or foreign, or contradicts what was asked for."""


class BitstreamError(SlimCAEError):
    """A `.scae` file is damaged, foreign, of an unknown version, or needs another model."""


class ConfigError(SlimCAEError):
    """Settings that cannot work, alone or together (lists of unequal length, say)."""


class TrainingError(SlimCAEError):
    """Training cannot start or go on (no usable images, a loss that is not finite)."""
