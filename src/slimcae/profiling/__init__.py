"""Cost of a model on this machine: times for any picture, complexity table and memory."""

from slimcae.profiling.calibration import checked_repeats, measure, texture
from slimcae.profiling.memory import PeakMemory, peak_memory
from slimcae.profiling.stages import Stages, stage_seconds
from slimcae.profiling.table import PHOTO, Complexity, complexity

__all__ = [
    "PHOTO",
    "Complexity",
    "PeakMemory",
    "Stages",
    "checked_repeats",
    "complexity",
    "measure",
    "peak_memory",
    "stage_seconds",
    "texture",
]
