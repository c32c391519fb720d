"""Methods against planted truth, and what the sanity check says of them: a cheap guard.

What is measured with several networks of each kind is in `benchmarks/results/planted.json`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.planted import LEARNT, LEAST_POINTING, MOST_ENERGY, judged, sanity, settings
from benchmarks.planted_clips import LEARNERS, answered_right

CLIPS, SEED = 30, 0
POINT = {
    "CNN": ("gradcam", "gradcam++", "guided_gradcam", "layercam", "occlusion", "rise"),
    "LSTM": ("gradcam", "layercam", "occlusion", "rise"),
    "transformer": ("integrated_gradients", "occlusion", "rise"),
    "skeleton": (
        "gradient_x_input", "guided_gradcam", "integrated_gradients", "occlusion", "rise", "smoothgrad",
    ),
}  # fmt: skip
"""Methods that are within a cell of the patch in 19 clips of 20 (`benchmarks/results/planted.json` has more
networks); docs/explaining.md tells why the others are not."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", LEARNERS)
def test_methods_point_at_what_decides_and_leave_the_distractor(kind: str) -> None:
    how = replace(settings(kind), masks=150)
    clips, right = answered_right(kind, SEED, CLIPS)
    assert right >= LEARNT
    missed = []
    for name in POINT[kind]:
        found = judged(kind, SEED, name, clips, how)
        pointing, energy = float(found.within.mean()), float(found.on_distractor.mean())
        if pointing < LEAST_POINTING or energy >= MOST_ENERGY:
            missed.append(f"{name}: pointing {pointing:.2f}, energy on the distractor {energy:.3f}")
    assert not missed


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_sanity_check_names_guided_backpropagation_and_not_gradcam() -> None:
    clips, _ = answered_right("CNN", SEED, CLIPS)
    guided, cam = (
        sanity("CNN", SEED, name, clips, settings("CNN")) for name in ("guided_backprop", "gradcam")
    )
    assert guided.is_blind, guided
    assert not cam.is_blind, cam
    assert guided.layers == cam.layers == ("head", "layer4", "layer3", "layer2", "layer1", "stem")
