"""One clip under all conditions, to look at."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.data import ClipDataset, Manifest
from kinesphere.data.dataset import Item
from kinesphere.data.sources import Opening
from kinesphere.studies.background import BackgroundStudy
from kinesphere.studies.conditions import CONDITIONS, perturbation

_SAMPLING, _SIZE = Sampling.parse("uniform6"), (128, 170)
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 80)


def condition_strips(
    manifest: Manifest, study: BackgroundStudy, extracts: Extracts
) -> list[tuple[str, tuple[bytes, ...]]]:
    """What is left to see under each condition, and six JPEG frames of the first clip that was swapped.

    Args:
        manifest: The clips of the study.
        study: What was measured.
        extracts: Where masks lie.
    """
    if not study.pairs:
        return []
    by_id = {sample.id: i for i, sample in enumerate(manifest)}
    own, _, lender, _ = study.pairs[0]
    one = manifest.select([by_id[own]])
    lent = manifest[by_id[lender]]
    spec = ClipSpec(_SAMPLING, _SIZE)
    strips = []
    for condition in CONDITIONS:
        backdrop = condition.backdrop(study.colour, [lent])
        dataset = ClipDataset(one, spec, train=False, opening=Opening(extracts), background=backdrop)
        item = dataset[0]
        if not isinstance(item, Item):
            continue  # it is among what was left out
        inputs = tuple(x[None] for x in item.inputs)
        change = perturbation(condition.order, [spec])
        strips.append((condition.says, _files(inputs if change is None else change(inputs))))
    return strips


def _files(inputs: tuple[Tensor, ...]) -> tuple[bytes, ...]:
    """JPEG files of clips `(1, 1, T, 3, H, W)`."""
    frames = inputs[0][0, 0].permute(0, 2, 3, 1).numpy()
    pictures = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
    return tuple(cv2.imencode(".jpg", picture, _JPEG)[1].tobytes() for picture in pictures)
