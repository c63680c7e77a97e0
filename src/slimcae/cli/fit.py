"""`slimcae fit`: tables and quality scale of a trained model, from pictures."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from slimcae.cli.options import (
    add_device_option,
    add_images_option,
    add_model_option,
    add_option,
)
from slimcae.cli.streams import cannot_write, check_output
from slimcae.cli.talk import add_talk_options, say

_EPILOG = """\
Files get about a tenth smaller, since channels are active in the same places, which the fit
counts; and `slimcae compress -q` works: the model file then holds how much rate and quality each
width and quantisation step has on average. Files made with the model as it was need that model.

examples:
  slimcae fit --model runs/first --train_glob photos/ --inputPath valid/ -o fitted.safetensors
  slimcae fit -m runs/first --train_glob photos/ --inputPath valid/ -o mine.safetensors \\
      --half --name mine --model_version 2
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "slimcae fit --train_glob IMAGES --inputPath IMAGES -o FILE [options]"
    parser.description = "Fit a model's coding tables to images, and measure its quality scale."
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
        help="round the kernels to half precision first: the file is half as large",
    )
    add_option(parser, "--name", help="of the model, for its files and `slimcae models`")
    add_option(parser, "--model_version", metavar="VERSION", help="of the model")
    add_device_option(parser, "auto")
    add_talk_options(parser, logging.INFO)


def run(args: argparse.Namespace) -> int:
    """Fit."""
    from slimcae.images import find_images

    train, valid = find_images(args.train_glob), find_images(args.inputPath)

    from tqdm import tqdm

    from slimcae.model.file import halved, read_model, write_model
    from slimcae.model.registry import find_model
    from slimcae.training.fitting import fit
    from slimcae.transforms import open_transforms

    origin = find_model(args.model)
    check_output(str(origin), args.output, overwrite=args.overwrite)
    model = read_model(origin)
    info = replace(
        model.info,
        name=args.name or model.info.name,
        version=args.model_version or model.info.version,
    )
    if args.half:
        model = halved(model)
    transforms = open_transforms(model, device=args.device, precision="float32")
    found = fit(
        model, transforms, train, valid, lambda paths, text: tqdm(paths, text, disable=None)
    )
    note = {
        "training_images": len(train),
        "validation_images": len(valid),
        "contexts": list(found.counted),
    }
    info = replace(info, quality=found.quality, training={**info.training, "fit": note})
    try:
        fitted = replace(model, entropy_models=found.entropy_models, info=info)
        write_model(Path(args.output), fitted, half=args.half)
    except OSError as error:
        raise cannot_write(args.output, error) from error
    print("width    bpp at Δ = 1    PSNR at Δ = 1    bits saved by counts, over all Δ")
    for width in model.widths:
        bpp, psnr = found.quality[width][0]
        least, most = (100 * edge(found.gain[width]) for edge in (min, max))
        print(f"{width:5}    {bpp:12.4f}    {psnr:10.2f} dB    {least:.2f} to {most:.2f} %")
    widths = ", ".join(map(str, found.counted)) or "none"
    say(f"{args.output} written; widths with contexts from counts: {widths}")
    return 0
