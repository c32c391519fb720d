"""How the motion between two frames is estimated: OpenCV's DIS, TV-L1 and Farnebäck.

- `dis`: Kroeger et al.: "Fast Optical Flow using Dense Inverse Search", ECCV 2016, the preset `medium`.
- `tvl1`: Zach, Pock, Bischof: "A Duality Based Approach for Realtime TV-L1 Optical Flow", DAGM 2007; what
  most published flow networks were trained on. Many times slower than the others.
- `farneback`: Farnebäck: "Two-Frame Motion Estimation Based on Polynomial Expansion", SCIA 2003.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from kinesphere.clips.spec import FlowMethod
from kinesphere.core.errors import MissingExtra

Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Two grey frames uint8 `(H, W)` to float32 `(H, W, 2)`: where each pixel of the first goes, in pixels
to the right and downwards."""

# DIS needs a pyramid of a few patches; smaller frames are enlarged by repeating their edges.
_LEAST_PX = 32


def estimator(method: FlowMethod) -> Estimator:
    """An estimator of its own for one thread: some keep buffers between calls.

    Raises:
        MissingExtra: If this OpenCV is built without its contributed modules, which hold TV-L1.
    """
    if method == "dis":
        return _padded(_keeping(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)))
    if method == "tvl1":
        # Another OpenCV installed over ours leaves the folder of the contributed module, and nothing in it.
        contributed: Any = getattr(cv2, "optflow", None)
        if not hasattr(contributed, "DualTVL1OpticalFlow_create"):
            raise MissingExtra(
                "TV-L1 flow is in OpenCV's contributed modules, which this build lacks: another package may "
                "have installed an OpenCV of its own over it (pip install --force-reinstall --no-deps "
                "opencv-contrib-python-headless puts it back). Or use dis or farneback."
            )
        return _padded(_keeping(contributed.DualTVL1OpticalFlow_create()))
    return _padded(_farneback)


def grey(frames: np.ndarray) -> np.ndarray:
    """RGB `(T, H, W, 3)` as luma `(T, H, W)`."""
    return np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames])


def _keeping(algorithm: Any) -> Estimator:
    # Without a field to begin with; OpenCV's type hints know no None.
    return lambda first, second: algorithm.calc(first, second, None)


def _farneback(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    # The settings of OpenCV's own samples.
    field = np.empty((*first.shape, 2), np.float32)
    cv2.calcOpticalFlowFarneback(first, second, field, 0.5, 3, 15, 3, 5, 1.2, 0)
    return field


def _padded(estimate: Estimator) -> Estimator:
    def padded(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape
        extra = [(0, max(0, _LEAST_PX - side)) for side in (height, width)]
        if any(after for _, after in extra):
            first, second = np.pad(first, extra, mode="edge"), np.pad(second, extra, mode="edge")
        return estimate(first, second)[:height, :width]

    return padded
