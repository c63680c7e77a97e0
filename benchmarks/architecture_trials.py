"""Train variants of the architecture `light` for equal processor time, and compare them.

    python benchmarks/architecture_trials.py TRAIN VALID -o trials.jsonl --width 48 --lmbda 130
    python benchmarks/architecture_trials.py TRAIN VALID -o trials.jsonl --width 192 --lmbda 2800 \
        --variants base expand-1 lean-synthesis

Each variant is one network of one width, trained on one thread from the same warm start on the same
crops. Steps of the variant and of `light` are timed in turn, and the number of steps follows from
the ratio, so that all variants get the processor time of --steps steps of `light`. The output has
one line for each variant; variants with a line are not trained again. At the end, --time_again
adds the times of a call. `make results` draws the table (docs/results/trials/README.md). The
variants are in light_variants.py.
"""

import argparse
import copy
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from blocks import border_step
from light_variants import VARIANTS, module_of
from torch import Tensor, nn

from slimcae.images import find_images
from slimcae.model.architecture import light
from slimcae.model.config import SlimCAEConfig
from slimcae.networks import autoencoder, transform
from slimcae.networks.gdn import SlimmableGDN
from slimcae.networks.slimcae import SlimCAE
from slimcae.training.data import TrainingImages, decode
from slimcae.training.measure import measure
from slimcae.training.settings import TrainSettings
from slimcae.training.trainer import Trainer
from slimcae.training.warm_start import (
    fit_entropy_models,
    near_identity,
    warm_start_transforms,
)

PATCH, BATCH = 128, 8
ROUNDS, ROUND_STEPS = 7, 4
"""Number of measurements of the time of a step, and steps of each."""
TIMED_ROUNDS = 11
"""Number of measurements of the time of a call."""
MIDDLE = 256
"""Side of the middle of each validation picture, which the variants are compared on."""


def main() -> None:
    """Train the variants that have no line in the output yet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("train")
    parser.add_argument("valid")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--lmbda", type=float, default=130)
    parser.add_argument("--steps", type=int, default=1400, help="for the variant `base`")
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--images", type=int, default=700, help="training pictures, evenly drawn")
    parser.add_argument("--time_again", action="store_true", help="only the times, of all lines")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    if args.time_again:
        with patch.object(transform, "_module", module_of):
            time_again(args.output)
        return
    device = torch.device("cpu")
    paths = find_images(args.train)
    images = TrainingImages(paths[:: max(1, len(paths) // args.images)], device)
    valid = [_middle(decode(path)) for path in find_images(args.valid)]
    done = {(line["variant"], line["width"]) for line in _lines(args.output)}
    for name in args.variants:
        if (name, args.width) in done:
            continue
        with patch.object(transform, "_module", module_of):
            found = trial(name, images, valid, args)
        with args.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        print(found, flush=True)


def trial(
    name: str, images: TrainingImages, valid: Sequence[Tensor], args: argparse.Namespace
) -> dict[str, Any]:
    """Train and measure one variant."""
    config = SlimCAEConfig(widths=(args.width,), architecture="light")
    architecture = VARIANTS[name](light(config))
    settings = TrainSettings(
        patchsize=PATCH,
        batchsize=BATCH,
        learning_rate=args.learning_rate,
        quantization="mixed",
        ema_decay=0.99,
        precision="float32",
        compile="off",
        seed=1,
    )
    lmbda = (args.lmbda,)
    x = images.sample(PATCH, 128, settings.seed).float() / 255
    start = SlimCAE(config)
    warm_start_transforms(start, x, lmbda)

    def prepared(steps: int) -> Trainer:
        torch.manual_seed(0)
        model = SlimCAE(config)
        begin_with(model, start)
        fit_entropy_models(model, x, settings.seed)
        return Trainer(model, lmbda, replace(settings, last_step=steps), images)

    with patch.object(autoencoder, "architecture_of", lambda config: architecture):
        cost = (
            1.0
            if name == "base"
            else relative_cost(
                prepared(1000), Trainer(copy.deepcopy(start), lmbda, settings, images)
            )
        )
        steps = round(args.steps / cost)
        trainer = prepared(steps)
        clock = time.process_time()
        trainer.run(steps, on_log=lambda line: None)
        seconds = time.process_time() - clock
    averaged = trainer.averaged
    point = measure(averaged, valid, args.width)
    error = 10 ** (-point.psnr / 10)
    return {
        "variant": name,
        "width": args.width,
        "lambda": args.lmbda,
        "kmacs": [
            round(architecture.encoder_macs(args.width) / 1e3, 3),
            round(architecture.decoder_macs(args.width) / 1e3, 3),
        ],
        "steps": steps,
        "step_cost": round(cost, 3),
        "seconds": round(seconds, 1),
        "bpp": point.bpp,
        "psnr": point.psnr,
        "cost": args.lmbda * error + point.bpp,
        "grid": grid(averaged, valid, args.width),
    }


def relative_cost(trainer: Trainer, base: Trainer) -> float:
    """Return the processor time of a step of one trainer over that of another."""
    ratios = []
    for _ in range(ROUNDS):
        seconds = []
        for each in (trainer, base):
            each.run(each.step + 1, on_log=lambda line: None)  # without what comes once
            clock = time.process_time()
            each.run(each.step + ROUND_STEPS, on_log=lambda line: None)
            seconds.append(time.process_time() - clock)
        ratios.append(seconds[0] / seconds[1])
    return median(ratios)


def begin_with(model: SlimCAE, start: SlimCAE) -> None:
    """Copy the warm start to the layers that a variant shares with `light`.

    Larger kernels take the values in their middle and in their first channels; smaller ones keep
    the middle taps. Channels on top start with small noise, and new residual branches at zero.
    """
    known = dict(start.named_parameters())
    with torch.no_grad():
        for name, own in model.named_parameters():
            other = known.get(name)
            if other is None:
                continue
            if own.shape == other.shape:
                own.copy_(other)
                continue
            if own.ndim == 4 and ".block" not in name:
                own.mul_(0.1)
                _copy_middle(own, other)
        for module in model.modules():
            if isinstance(module, transform._Residual):
                module.close()
            if isinstance(module, SlimmableGDN):
                near_identity(module, None)
        for name, own in model.named_parameters():
            if name.endswith(("narrow.weight", "widen.weight", "dense.weight")):
                side = own.shape[-1]
                own.mul_(0.1)[..., side // 2, side // 2] += torch.eye(*own.shape[:2])


def _copy_middle(own: Tensor, other: Tensor) -> None:
    """Write the common part of a kernel, aligned at its middle taps and its first channels."""
    side = min(own.shape[-1], other.shape[-1])
    rows, columns = (min(a, b) for a, b in zip(own.shape[:2], other.shape[:2], strict=True))
    taps = [slice((t.shape[-1] - side) // 2, (t.shape[-1] + side) // 2) for t in (own, other)]
    own[:rows, :columns].zero_()
    own[:rows, :columns, taps[0], taps[0]] = other[:rows, :columns, taps[1], taps[1]]


@torch.no_grad()
def grid(model: nn.Module, valid: Sequence[Tensor], width: int) -> float:
    """Return the mean visible grid of decoded pictures relative to the originals."""
    found = []
    for image in valid:
        x_hat = model(image[None].float() / 255, width)["x_hat"][0]
        decoded = (x_hat.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        original: Any = image.permute(1, 2, 0).numpy()
        found.append(border_step(decoded) / border_step(original))
    return float(np.mean(found))


def time_again(path: Path) -> None:
    """Measure the times of all variants in turn, so that they can be compared."""
    lines = _lines(path)
    models = []
    for line in lines:
        config = SlimCAEConfig(widths=(line["width"],), architecture="light")
        architecture = VARIANTS[line["variant"]](light(config))
        with patch.object(autoencoder, "architecture_of", lambda config, a=architecture: a):
            models.append(SlimCAE(config).eval())
    rounds = [
        [milliseconds(model, line["width"]) for model, line in zip(models, lines, strict=True)]
        for _ in range(TIMED_ROUNDS)
    ]
    for line, found in zip(lines, zip(*rounds, strict=True), strict=True):
        line["milliseconds"] = [round(median(each), 1) for each in zip(*found, strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@torch.no_grad()
def milliseconds(model: SlimCAE, width: int) -> list[float]:
    """Return the processor milliseconds of g_a and g_s for 768 × 512 pixels, on one thread."""
    x = torch.rand(1, 3, 512, 768).contiguous(memory_format=torch.channels_last)
    y = model.analyse(x, width)
    return [
        _milliseconds(lambda: model.analyse(x, width)),
        _milliseconds(lambda: model.synthesise(y, width)),
    ]


def _milliseconds(call: Callable[[], object]) -> float:
    clock = time.process_time()
    call()
    return 1e3 * (time.process_time() - clock)


def _middle(image: Tensor) -> Tensor:
    top, left = ((size - MIDDLE) // 2 for size in image.shape[1:])
    return image[:, top : top + MIDDLE, left : left + MIDDLE].contiguous()


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
