"""β and γ of GDN as its formula has them, from what a model file stores.

Networks and codec compute them in the same order of float32 operations: the same numbers.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

PEDESTAL = 2.0**-36
"""Added under the root of stored non-negative parameters, so that their gradient never dies."""
BETA_MIN = 1e-6

Floats = NDArray[np.float32]


def effective(stored: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Return β (C) and γ (C, C) of one normalization at one width; docs/format.md, "Pixels".

    stored: `beta` (C) and `gamma` (C, C), which are roots (Ballé et al. 2018); for `slim+` also
        `beta_scale`, `beta_bias`, `gamma_scale` and `gamma_bias`, one number each.
    """
    beta, gamma = _value(stored["beta"], BETA_MIN), _value(stored["gamma"])
    if "beta_scale" in stored:
        beta = _value(stored["beta_scale"]) * beta + _value(stored["beta_bias"])
        beta = np.maximum(beta, np.float32(BETA_MIN))  # scale and bias may both have come to zero
        gamma = _value(stored["gamma_scale"]) * gamma + _value(stored["gamma_bias"])
    return beta, gamma


def _value(stored: Floats, minimum: float = 0.0) -> Floats:
    bound = np.float32((minimum + PEDESTAL) ** 0.5)
    value: Floats = np.square(np.maximum(stored, bound)) - np.float32(PEDESTAL)
    return value
