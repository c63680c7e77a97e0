"""`slimcae fit`: fit the entropy models and the quality scale of a trained model to pictures."""

import argparse
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from slimcae.cli.messages import add_talk_options, say
from slimcae.cli.options import (
    add_device_option,
    add_images_option,
    add_model_option,
    add_option,
)
from slimcae.cli.streams import cannot_write, check_output
from slimcae.container.header import ENTROPY_MODELS

if TYPE_CHECKING:
    from slimcae.model.model import Model
    from slimcae.training.fitting import Fit

Item = TypeVar("Item")

_EPILOG = """\
The command converts context networks or a hyperprior, if the model has them (slimcae train --stage
entropy, or --entropy_model), to integers and counts their tables. Context networks make files 10 to
30 % smaller than the densities of training alone. It also counts tables for classes of activity,
for fast coding, and measures the mean rate and quality of each width and quantisation step, which
`slimcae compress -q` needs. Files that the unfitted model made still need that model.

A modulated model (slimcae train --method modulated) can have operating points at any λ between the
smallest and the largest of its training: --lmbda lists them, largest first.

examples:
  slimcae fit --model runs/first --train_glob photos/ --inputPath valid/ -o fitted.safetensors
  slimcae fit -m runs/first --train_glob photos/ --inputPath valid/ -o mine.safetensors \\
      --half --name mine --model_version 2
  slimcae fit -m runs/modulated --train_glob photos/ --inputPath valid/ -o nine.safetensors \\
      --lmbda 2048 1450 1024 724 512 362 256 181 128
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "slimcae fit --train_glob IMAGES --inputPath IMAGES -o FILE [options]"
    parser.description = "Fit a model's entropy models to images, and measure its quality scale."
    parser.epilog = _EPILOG
    add_model_option(parser)
    add_images_option(parser, "--train_glob", "training")
    add_images_option(parser, "--inputPath", "validation", also=["--input_path"])
    add_option(parser, "-o", "--output", required=True, metavar="FILE", help="model file to write")
    add_option(parser, "-y", "--overwrite", action="store_true", help="replace an existing output")
    add_option(
        parser,
        "--half",
        action="store_true",
        help="store the kernels in half precision, which halves the file",
    )
    add_option(
        parser,
        "--lmbda",
        type=float,
        nargs="+",
        metavar="X",
        help="operating points of a modulated model, at any λ within those of its training",
    )
    add_option(
        parser,
        "--entropy_model",
        choices=ENTROPY_MODELS,
        help="code with this kind (default: the one of the fewest bits at each operating point)",
    )
    add_option(parser, "--name", help="name of the model, for its files and `slimcae models`")
    add_option(parser, "--model_version", metavar="VERSION", help="version of the model")
    add_device_option(parser, "auto")
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Fit."""
    from slimcae.images import find_images

    train, valid = find_images(args.train_glob), find_images(args.inputPath)

    from slimcae.model.factors import MODULATION
    from slimcae.model.file import halved, read_model, write_model
    from slimcae.model.registry import find_model
    from slimcae.training.fitting import fit
    from slimcae.transforms import open_transforms

    started = time.monotonic()
    origin = find_model(args.model)
    check_output(str(origin), args.output, overwrite=args.overwrite)
    model = read_model(origin)
    info = replace(
        model.info,
        name=args.name or model.info.name,
        version=args.model_version or model.info.version,
    )
    if args.lmbda is not None:
        from slimcae.training.any_lambda import at_lambda

        model = at_lambda(model, args.lmbda, train)
        info = replace(info, lmbda=model.info.lmbda)
    if args.half:
        model = halved(model)
    transforms = open_transforms(model, device=args.device, precision="float32", backend="torch")
    found = fit(model, transforms, train, valid, _bar, args.entropy_model)
    note = {
        "training_images": len(train),
        "validation_images": len(valid),
        "rounding": {str(width): round(loss, 5) for width, loss in found.rounding.items()},
    }
    info = replace(info, quality=found.quality, training={**info.training, "fit": note})
    try:
        kept = {k: v for k, v in model.training_tensors.items() if k.startswith(MODULATION)}
        fitted = replace(
            model, entropy_models=found.entropy_models, info=info, training_tensors=kept
        )
        write_model(Path(args.output), fitted, half=args.half)
    except OSError as error:
        raise cannot_write(args.output, error) from error
    print("\n".join(_table(model, found)))
    say(f"{args.output} written after {time.monotonic() - started:.0f} s")
    return 0


def _bar(items: Iterable[Item], text: str, total: int) -> Iterable[Item]:
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, text, total=total, disable=None)
    return bar


def _table(model: "Model", found: "Fit") -> list[str]:
    """Return lines of text: rate, quality and kind of each point, and the bits that it saves."""
    labels = {point: model.label(point) for point in model.points}
    if model.points == model.widths:
        labels = {width: f"{width:5}" for width in model.points}
    space = max(map(len, labels.values()))
    heading = "width" if model.points == model.widths else "point"
    lines = [f"{heading:{space}}  kind         bpp at Δ = 1  PSNR at Δ = 1  bits saved, over all Δ"]
    for point, models in found.entropy_models.items():
        kind = next(iter(models))
        bpp, psnr = found.quality[point][0]
        saved = []
        for other, rates in found.rates[point].items():
            if other != kind:
                pairs = zip(found.rates[point][kind], rates, strict=True)
                gains = [100 * (1 - mine / theirs) for mine, theirs in pairs]
                saved.append(f"{min(gains):.1f} to {max(gains):.1f} % against {other}")
        line = f"{labels[point]:{space}}  {kind:11}  {bpp:12.4f}  {psnr:10.2f} dB  "
        line += ", ".join(saved)
        if point in found.rounding:
            line += f"; rounding to integers: {100 * found.rounding[point]:+.2f} % bits"
        lines.append(line)
    return lines
