"""The complexity table: computed and measured costs of every operating point of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimcae.codec import Codec
from slimcae.codec.target import Target
from slimcae.container import Header
from slimcae.images import Picture
from slimcae.model.cost import decoder_memory
from slimcae.profiling.calibration import Track, checked_repeats, texture, untracked
from slimcae.profiling.memory import PeakMemory, peak_memory
from slimcae.profiling.stages import Stages, stage_seconds
from slimcae.transforms import Pixels, Transforms

PHOTO = (512, 768)
"""Height and width in pixels of the measured picture."""


@dataclass(frozen=True)
class Complexity:
    """Cost of one operating point for one picture, with one of its entropy models.

    Attributes:
        point, width, lmbda: Number of the operating point, its filters per layer, its λ if known.
        effort, entropy_model: Effort of the encoder, and the kind of entropy model for it.
        pixels: Number of pixels of the picture.
        parameters: Number of parameters of both transforms that the point uses.
        encoder_macs, decoder_macs: Multiply-accumulates per pixel.
        memory: Measured peaks, or None if they cannot be measured.
        decoder_estimate: Estimated bytes for decoding.
        encode, decode: Seconds of the median run.
    """

    point: int
    width: int
    lmbda: float | None
    effort: int
    entropy_model: str
    pixels: int
    parameters: int
    encoder_macs: float
    decoder_macs: float
    memory: PeakMemory | None
    decoder_estimate: int
    encode: Stages
    decode: Stages

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON, with bytes, milliseconds and megapixels per second."""
        return {
            "width": self.width,
            **({} if self.point == self.width else {"point": self.point, "lambda": self.lmbda}),
            "effort": self.effort,
            "entropy_model": self.entropy_model,
            "parameters": self.parameters,
            "encoder_macs_per_pixel": self.encoder_macs,
            "decoder_macs_per_pixel": self.decoder_macs,
            "encode_peak_bytes": None if self.memory is None else self.memory.encode,
            "decode_peak_bytes": None if self.memory is None else self.memory.decode,
            "decode_estimate_bytes": self.decoder_estimate,
            **{
                f"{way}_{name}": number
                for way, stages in (("encode", self.encode), ("decode", self.decode))
                for name, number in {
                    "ms": 1000 * stages.whole,
                    "network_ms": 1000 * stages.network,
                    "coder_ms": 1000 * stages.coder,
                    "rest_ms": 1000 * stages.rest,
                    "megapixels_per_second": self.pixels / stages.whole / 1e6,
                }.items()
            },
        }


def complexity(
    codec: Codec,
    model: Path,
    repeats: int = 3,
    size: tuple[int, int] = PHOTO,
    track: Track = untracked,
) -> list[Complexity]:
    """Measure every point and effort of a codec on one picture of `size`.

    model: the model file of the codec. track: shows progress, see `measure`.

    Times are medians of `repeats` rounds through all points. Memory is measured on the CPU.

    Raises:
        ConfigError: `repeats` is below 1, or a process that measures memory failed.
    """
    checked_repeats(repeats)
    pixels = texture(*size).pixels
    choices = [(point, effort) for point in codec.points for effort in codec.model.efforts(point)]
    headers: dict[tuple[int, int], Header] = {}
    for point, effort in choices:
        target = Target(point=point, effort=effort)
        headers[point, effort] = codec.encode(Picture(pixels), target).header
        stage_seconds(codec, pixels, point, effort)  # prepares what is prepared once
    rounds: dict[tuple[int, int], list[tuple[Stages, Stages]]] = {choice: [] for choice in choices}
    for choice in track(choices * repeats, "parts"):
        rounds[choice].append(stage_seconds(codec, pixels, *choice))
    architecture, transforms = codec.model.architecture, codec.transforms
    memory: dict[tuple[int, int], PeakMemory | None] = dict.fromkeys(choices)
    if transforms.device == "cpu":
        for choice in track(choices, "memory"):
            memory[choice] = _peak_memory(model, pixels, transforms, *choice)
    lmbda = dict(
        zip(codec.points, codec.model.info.lmbda or [None] * len(codec.points), strict=True)
    )
    return [
        Complexity(
            point=point,
            width=codec.model.filters(point),
            lmbda=lmbda[point],
            effort=effort,
            entropy_model=codec.model.kind(point, effort),
            pixels=size[0] * size[1],
            parameters=architecture.parameters(codec.model.filters(point)),
            encoder_macs=codec.macs(point)[0],
            decoder_macs=codec.macs(point)[1],
            memory=memory[point, effort],
            decoder_estimate=decoder_memory(architecture, headers[point, effort]),
            encode=_median([encode for encode, _ in found]),
            decode=_median([decode for _, decode in found]),
        )
        for (point, effort), found in rounds.items()
    ]


def _peak_memory(
    model: Path, pixels: Pixels, transforms: Transforms, point: int, effort: int
) -> PeakMemory | None:
    return peak_memory(
        model,
        pixels,
        point,
        precision=transforms.precision,
        backend=transforms.backend,
        effort=effort,
    )


def _median(runs: Sequence[Stages]) -> Stages:
    """Return the run with the median total, so that its stages add up."""
    return sorted(runs, key=lambda run: run.whole)[(len(runs) - 1) // 2]
