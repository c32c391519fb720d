from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from clip_fakes import noise_clip

from kinesphere.clips import Clip
from kinesphere.clips.augment import colour
from kinesphere.clips.augment.colour import ColourChange, recolour
from kinesphere.clips.clip import from_frames
from kinesphere.core.errors import InvalidSetting

LUMA = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)


def flat(*rgb: int) -> Clip:
    return Clip(from_frames(np.full((2, 4, 4, 3), rgb, np.uint8)), np.arange(2.0), (4, 4))


def colour_of(clip: Clip) -> list[int]:
    return clip.data[0, :, 0, 0].tolist()


def test_the_default_changes_nothing():
    clip = noise_clip()
    assert recolour(clip, ColourChange()) is clip


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (ColourChange(brightness=1.5), (10, 100, 200), [15, 150, 255]),
        (ColourChange(brightness=0), (10, 100, 200), [0, 0, 0]),
        (ColourChange(saturation=0), (255, 0, 0), [76, 76, 76]),
        (ColourChange(saturation=0), (100, 100, 100), [100, 100, 100]),
        (ColourChange(contrast=0.5), (80, 80, 80), [80, 80, 80]),
        (ColourChange(brightness=2, contrast=0.5), (80, 80, 80), [160, 160, 160]),
        (ColourChange(hue_turns=0.25), (90, 90, 90), [90, 90, 90]),
        (ColourChange(gamma=2), (0, 128, 255), [0, 64, 255]),
        (ColourChange(brightness=0.5, gamma=2), (0, 255, 255), [0, 64, 64]),
    ],
)
def test_recolour(change, before, after):
    assert colour_of(recolour(flat(*before), change)) == pytest.approx(after, abs=1)


def test_contrast_works_about_the_mean_luma_of_the_whole_clip():
    clip = noise_clip(length=3)
    clip.data[2] = 200
    mean = float((clip.data.float() * LUMA).sum(1).mean())
    changed = recolour(clip, ColourChange(contrast=0.5)).data.float()
    expected = (clip.data.float() - mean) * 0.5 + mean
    assert (changed - expected).abs().max() <= 1


def test_hue_turns_colour_and_keeps_luma():
    red = flat(160, 90, 90)
    luma = float((red.data[0].float() * LUMA).sum(0)[0, 0])
    hues = []
    for turns in (0.0, 1 / 3, 2 / 3):
        turned = recolour(red, ColourChange(hue_turns=turns)).data[0].float()
        assert float((turned * LUMA).sum(0)[0, 0]) == pytest.approx(luma, abs=1.5)
        hues.append(colorsys.rgb_to_hsv(*(turned[:, 0, 0] / 255).tolist())[0])
    assert len({round(hue * 3) % 3 for hue in hues}) == 3
    full = recolour(red, ColourChange(hue_turns=1.0))
    assert colour_of(full) == pytest.approx([160, 90, 90], abs=1)


def test_posterize_and_solarize():
    assert colour_of(colour.posterize(flat(255, 129, 63), 1)) == [128, 128, 0]
    assert colour_of(colour.posterize(flat(255, 129, 63), 8)) == [255, 129, 63]
    assert colour_of(colour.solarize(flat(255, 128, 127), 128)) == [0, 127, 127]
    assert colour_of(colour.solarize(flat(255, 128, 127), 256)) == [255, 128, 127]
    with pytest.raises(InvalidSetting, match="1 to 8 bits"):
        colour.posterize(flat(0, 0, 0), 0)


def test_autocontrast_and_equalize_use_the_whole_range():
    clip = noise_clip((64, 64))
    dull = clip.with_data((clip.data // 4 + 100).to(torch.uint8))
    stretched = colour.autocontrast(dull).data
    assert (int(stretched.min()), int(stretched.max())) == (0, 255)
    even = colour.equalize(dull).data.float()
    assert even.mean() == pytest.approx(127.5, abs=4)
    assert even.std() == pytest.approx(255 / 12**0.5, abs=4)
    assert colour_of(colour.autocontrast(flat(7, 8, 9))) == [7, 8, 9]
    assert colour_of(colour.equalize(flat(7, 8, 9))) == [7, 8, 9]


def test_sharpen():
    clip = noise_clip()
    assert torch.equal(colour.sharpen(clip, 1.0).data, clip.data)
    assert colour.sharpen(clip, 0.1).data.float().std() < clip.data.float().std()
    assert colour_of(colour.sharpen(flat(7, 80, 200), 1.9)) == [7, 80, 200]


def test_colour_change_refused():
    with pytest.raises(InvalidSetting, match="gamma above 0"):
        ColourChange(gamma=0)
