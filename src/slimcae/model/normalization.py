"""Effective β and γ of GDN, computed from the stored parameters.

Networks and codec use the same order of float32 operations, so they get the same numbers.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

PEDESTAL = 2.0**-36
"""Added before the root of stored non-negative parameters, so that gradients stay non-zero."""
BETA_MIN = 1e-6

Floats = NDArray[np.float32]


def effective(stored: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Return β (C) and γ (C, C) of one normalization at one width; docs/format.md, "Pixels".

    stored: `beta` (C) and `gamma` (C, C), stored as roots (Ballé et al. 2018); for `slim+` also
        the scalars `beta_scale`, `beta_bias`, `gamma_scale` and `gamma_bias`.
    """
    beta, gamma = _value(stored["beta"], BETA_MIN), _value(stored["gamma"])
    if "beta_scale" in stored:
        beta = _value(stored["beta_scale"]) * beta + _value(stored["beta_bias"])
        beta = np.maximum(beta, np.float32(BETA_MIN))  # scale and bias may both be zero
        gamma = _value(stored["gamma_scale"]) * gamma + _value(stored["gamma_bias"])
    return beta, gamma


def _value(stored: Floats, minimum: float = 0.0) -> Floats:
    bound = np.float32((minimum + PEDESTAL) ** 0.5)
    value: Floats = np.square(np.maximum(stored, bound)) - np.float32(PEDESTAL)
    return value
