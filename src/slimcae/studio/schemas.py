"""JSON schemas of the HTTP interface."""

from typing import Literal

from pydantic import BaseModel, Field

_WIDTH = Field(description="Of the operating point; its number where widths are alike.")


class OperatingPoint(BaseModel):
    """A width and a quantisation step, with the means over the model's validation images."""

    width: int = _WIDTH
    step: int = Field(description="Index of the quantisation step; 0 is Δ = 1.")
    delta: float = Field(description="The quantisation step Δ.")
    bpp: float
    psnr: float


class WidthCost(BaseModel):
    """Cost of decoding a width."""

    width: int = _WIDTH
    label: str = Field(description="Name of the point: width 96, or point 3 (λ 512).")
    decoder_macs_per_pixel: float


class Model(BaseModel):
    """A model that requests may name."""

    name: str
    widths: list[WidthCost]
    ladder: list[OperatingPoint] = Field(
        description="The points worth choosing, from the smallest file to the best quality."
    )
    points: list[OperatingPoint] = Field(description="All points, by width and rising rate.")
    measured: bool = Field(description="False: rate and quality are typical, not this model's.")


class RivalFormat(BaseModel):
    """Another format that a photo can be compared with."""

    name: str
    title: str
    settings: str
    lowest: int = Field(description="Quality of the smallest file.")
    highest: int = Field(description="Quality of the largest file that is offered.")


class Offer(BaseModel):
    """What this server offers."""

    version: str = Field(description="Of slimcae.")
    models: list[Model] = Field(description="The first is the default.")
    rivals: list[RivalFormat]
    max_bytes: int = Field(description="Of one upload.")
    max_pixels: int = Field(description="Of one picture.")
    page_decodes: bool = Field(description="The page can decode .scae files itself.")


class Figures(BaseModel):
    """A photo coded by one model at one operating point."""

    model: str
    width: int = _WIDTH
    label: str = Field(description="Name of the operating point.")
    step: int
    delta: float
    bytes: int = Field(description="Of the whole .scae file.")
    colour_bytes: int = Field(description="Without alpha, which is kept exactly.")
    bpp: float = Field(description="Bits of the whole file per pixel.")
    psnr: float | None = Field(description="dB; null if identical or without an original.")
    ms_ssim: float | None = Field(description="null if not asked for, or not taken at this size.")
    encode_ms: float | None = Field(description="Analysis, quantisation and coding.")
    analysis_ms: float | None = Field(description="Of these the analysis, done once per width.")
    decode_ms: float
    decoder_macs_per_pixel: float
    decoder_macs: float = Field(description="Multiply-accumulates for the whole picture.")
    decoder_memory: int = Field(description="Estimated peak bytes beside program and model.")


class RivalFigures(BaseModel):
    """A photo in another format, without alpha."""

    format: str
    quality: int = Field(description="On the format's own scale.")
    strength: int = Field(description="AVIF's deltaq-strength, usually 100; elsewhere 100.")
    bytes: int
    bpp: float
    psnr: float | None
    ms_ssim: float | None
    encode_ms: float
    decode_ms: float


class Photo(BaseModel):
    """A photo that the server keeps for the page, or an opened .scae file."""

    id: str
    kind: Literal["picture", "scae"]
    image_width: int
    image_height: int
    bytes: int = Field(description="Of the file that was sent.")
    grey: bool
    alpha: bool
    notices: list[str] = Field(description="What was left out of the file when it was read.")
    figures: Figures | None = Field(description="Of a .scae file.")


class Progress(BaseModel):
    """Progress of a request."""

    stage: str
    done: int
    of: int = Field(description="0 if not known.")
