from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from kinesphere.models.spatiotemporal.box_head import BoxHead, BoxHeadForm, pooled_over_time
from kinesphere.models.spatiotemporal.public import HEAD


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("slowfast", BoxHeadForm()),
        ("context", BoxHeadForm(context="frame")),
        ("acrn", BoxHeadForm(context="actor", relation_width=40)),
    ],
)
def test_public_heads_give_public_logits(recorded, name, form):
    fixture = recorded(f"mmaction2_ava_{name}_head")
    head = BoxHead(40, 81, form)
    mapped = HEAD.to_ours(fixture.state)
    assert not mapped.unmapped
    head.load_state_dict(mapped.state)
    assert set(HEAD.to_theirs(head.state_dict()).state) == set(fixture.state)
    head.eval()
    with np.load(Path(os.environ["KINESPHERE_TEST_DATA"]) / "parity" / f"{fixture.name}.npz") as arrays:
        rois = torch.from_numpy(arrays["input/rois"])
        wanted = {
            key: torch.from_numpy(arrays[key])
            for key in ("roi_features", "context_feature_mean", "actor_context_features")
            if key in arrays.files
        }
    with torch.inference_mode():
        logits = head(fixture.xs, rois)
        mean = pooled_over_time(fixture.xs).mean((2, 3))
        grid = head.pooled(fixture.xs, rois)[:, :, None]
    scale = fixture.logits.abs().max()
    assert float((logits.double() - fixture.logits).abs().max() / scale) < 1e-5
    torch.testing.assert_close(mean, wanted["context_feature_mean"], rtol=1e-5, atol=1e-6)
    last = wanted["actor_context_features"] if name == "acrn" else wanted["roi_features"]
    torch.testing.assert_close(grid, last, rtol=1e-5, atol=1e-5)
