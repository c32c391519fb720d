from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "model", "layout"),
    [
        ("pytorch_i3d_rgb", "i3d_inception", "pytorch_i3d"),
        ("pytorch_i3d_flow", "i3d_inception_flow", "pytorch_i3d"),
        ("hassony_i3d_rgb", "i3d_inception", "hassony"),
        ("torchvision_s3d", "s3d", "torchvision"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, model, layout):
    check_parity(fixture, model, layout=layout)
