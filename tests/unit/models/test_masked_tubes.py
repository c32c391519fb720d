from __future__ import annotations

import pytest
import torch

from kinesphere.core.errors import InvalidSetting
from kinesphere.models import create_model
from kinesphere.models.masked_tubes import (
    MaskedTubes,
    normalised,
    pixels_of,
    tokens_of,
    tube_mask,
    tubelet_encoder,
)

GRID = (2, 4, 4)


def tubes() -> MaskedTubes:
    recogniser = create_model("videomae_tiny", ["a", "b"])
    spec = recogniser.specs[0]
    encoder = tubelet_encoder(recogniser.net, "videomae_tiny")
    return MaskedTubes(encoder, spec.mean, spec.std, width=16, depth=1, heads=2)


def test_a_tube_is_masked_at_all_times_or_at_none() -> None:
    mask = tube_mask(5, GRID, 0.9, torch.Generator().manual_seed(0))
    by_time = mask.view(5, 2, 16)
    assert torch.equal(by_time[:, 0], by_time[:, 1])
    assert by_time[:, 0].sum(1).tolist() == [14] * 5
    assert len({tuple(row) for row in mask.tolist()}) > 1
    few = tube_mask(1, (1, 1, 2), 0.9)
    assert few.sum() == 1
    assert (~few).sum() == 1


def test_normalised_targets_are_restored_to_pixels() -> None:
    pixels = torch.rand(2, 4, 3, 32, 32)
    tokens = tokens_of(pixels, 2, 8)
    assert tokens.shape == (2, 32, 128, 3)
    assert torch.equal(tokens[0, 0, :8, 1], pixels[0, 0, 1, 0, :8])
    target, mean, deviation = normalised(tokens)
    torch.testing.assert_close(target.mean(2), torch.zeros(2, 32, 3), atol=1e-5, rtol=0)
    restored = pixels_of(target * deviation + mean, GRID, 2, 8)
    torch.testing.assert_close(restored, pixels, atol=1e-5, rtol=0)


def test_only_masked_tokens_count_and_only_visible_ones_are_seen() -> None:
    model, clips = tubes(), torch.randn(1, 4, 3, 32, 32)
    mask = tube_mask(1, GRID, 0.5, torch.Generator().manual_seed(1))
    predicted = model(clips, mask)
    assert predicted.shape == (1, int(mask.sum()), 384)
    where = pixels_of(mask.view(1, 32, 1, 1).expand(1, 32, 128, 3).float(), GRID, 2, 8).bool()
    other = torch.where(where, torch.randn_like(clips), clips)
    assert torch.equal(model(other, mask), predicted)
    shown = model.restored(clips, mask)
    pixels = clips * model.std + model.mean
    torch.testing.assert_close(shown[~where], pixels[~where], atol=1e-5, rtol=0)
    assert not torch.allclose(shown[where], pixels[where])


def test_other_models_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="fc_tiny does not leave masked tubes out"):
        tubelet_encoder(create_model("fc_tiny", ["a", "b"]).net, "fc_tiny")
