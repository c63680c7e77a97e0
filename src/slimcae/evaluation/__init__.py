"""Evaluation: metrics, rate-distortion points, Bjøntegaard deltas, reports and plots.

Importing this package is cheap; torch, scipy and matplotlib are imported when first used.
"""

from slimcae.evaluation.bd_rate import BDResult, bd_psnr, bd_rate
from slimcae.evaluation.measure import RDPoint
from slimcae.evaluation.rd import evaluate_codec
from slimcae.evaluation.report import evaluate_models, format_report
from slimcae.evaluation.results import read_json, write_csv, write_json

__all__ = [
    "BDResult",
    "RDPoint",
    "bd_psnr",
    "bd_rate",
    "evaluate_codec",
    "evaluate_models",
    "format_report",
    "read_json",
    "write_csv",
    "write_json",
]
