"""Series whose memory is known."""

import numpy as np
from numpy.typing import NDArray


def autoregression(phi: float, count: int, seed: int) -> NDArray[np.float64]:
    """Return x[t] = phi x[t-1] + normal noise, from 0."""
    noise = np.random.default_rng(seed).normal(size=count)
    series, before = np.zeros(count), 0.0
    for t in range(count):
        before = phi * before + noise[t]
        series[t] = before
    return series
