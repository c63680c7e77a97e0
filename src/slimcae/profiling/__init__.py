"""What a model costs on this machine: times of any picture, stages of one, and memory."""

from slimcae.profiling.calibration import measure, texture
from slimcae.profiling.memory import peak_memory
from slimcae.profiling.stages import Stages, stage_seconds

__all__ = ["Stages", "measure", "peak_memory", "stage_seconds", "texture"]
