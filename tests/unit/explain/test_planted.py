"""Methods against planted truth: a patch alone decides the class, beside a distractor of equal contrast.

Pointing game: is the hottest tube of 2 frames x 8 x 8 px (of poses: the hottest joint of a frame) one that
the patch touches? Energy: how much of all heat above 0, averaged over those tubes, lies on the distractor?
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from planted import LEARNERS, NOTHING, answered_right, trained
from torch import Tensor

from kinesphere.explain.geometry import fill_cells
from kinesphere.explain.method import METHODS, Settings
from kinesphere.explain.target import Scored, Target

CLIPS = 40
TUBES = (4, 8, 8)
WITHOUT_PLACE = ("frame_gradient", "frame_occlusion", "limb_occlusion")
"""Their cells are whole frames and limbs: of the patch they tell the time, or the arm."""
LOOKS_ASIDE = {
    "cnn": ("smoothgrad",),
    "lstm": ("smoothgrad",),
    "transformer": ("smoothgrad", "gradcam", "gradcam++", "layercam"),
    "skeleton": ("gradcam", "gradcam++", "layercam"),
}
"""Methods that point elsewhere in several clips, where that is their nature: gradients without
the input say where a change would matter, which is beside the patch too, and the last block of a transformer
or a graph network has mixed what its cells hold. They are held to leave the distractor all the same."""
LEAST_POINTING, MOST_ENERGY = 0.85, 0.2
"""Below what is found (0.95 and more): a clip is four points, and training differs between processors."""
LAYERS = {"cnn": "layer1", "lstm": "backbone.layer2"}
"""Layers whose cells are smaller than the patch; the last ones of such small networks are half the frame."""


def settings(kind: str) -> Settings:
    return Settings(
        layer=LAYERS.get(kind), steps=32, noise=0.05, tube=(4, 16, 16), masks=300, cells=(4, 8, 8), batch=16
    )


def on_tubes(values: Tensor, kind: str) -> Tensor:
    """Means over tubes, of poses the values themselves, flat per clip."""
    if kind == "skeleton":
        return values.float().flatten(1)
    return F.adaptive_avg_pool3d(values[:, None].float(), TUBES).flatten(1)


def judged(kind: str, method: str) -> tuple[float, float]:
    """Hits of the pointing game and energy on the distractor, each as a fraction."""
    clips = answered_right(kind, CLIPS)
    hits, energies = [], []
    for label in range(NOTHING):
        of_class = clips.labels == label
        scored = Scored(trained(kind), Target(label))
        (heat,) = METHODS.get(method).heat(scored, (clips.clips[of_class],), settings(kind))
        assert heat is not None
        patch, distractor = clips.patch[of_class], clips.distractor[of_class]
        values = on_tubes(fill_cells(heat, patch.shape[1:]) if kind != "skeleton" else heat, kind)
        hottest = values.argmax(1, keepdim=True)
        hits.append(on_tubes(patch, kind).gather(1, hottest) > 0)
        above = values.clamp(min=0)
        energies.append((above * on_tubes(distractor, kind)).sum(1) / above.sum(1))
    return float(torch.cat(hits).float().mean()), float(torch.cat(energies).mean())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", LEARNERS)
def test_methods_point_at_what_decides_and_leave_the_distractor(kind):
    assert len(answered_right(kind, CLIPS).labels) >= CLIPS // 2
    figures, missed = [], []
    for name in METHODS:
        method = METHODS.get(name)
        if name in WITHOUT_PLACE or method.refusal(trained(kind)):
            continue
        pointing, energy = judged(kind, name)
        figures.append(f"{name}: pointing {pointing:.2f}, energy on the distractor {energy:.3f}")
        aside = name in LOOKS_ASIDE[kind]
        if method.by_class and (energy >= MOST_ENERGY or (pointing < LEAST_POINTING and not aside)):
            missed.append(figures[-1])
    print("\n".join(figures))
    assert not missed
