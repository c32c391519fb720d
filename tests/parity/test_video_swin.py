from __future__ import annotations

import pytest
import torch
from torch import nn

from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import import_state
from kinesphere.models.zoo.video_swin import fitted, relative_positions, shift_mask


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("fixture", "layout", "block"),
    [
        ("torchvision_swin3d_t", "torchvision", "features.{}.{}"),
        ("mmaction2_swin_t", "mmaction2", "backbone.layers.{}.blocks.{}"),
    ],
)
def test_public_state_gives_public_logits(check_parity, fixture, layout, block):
    step = 2 if layout == "torchvision" else 1
    kept = {
        f"{block.format(step * stage, i)}.attn.relative_position_index": relative_positions((8, 7, 7))
        for stage, depth in enumerate((2, 2, 6, 2))
        for i in range(depth)
    }
    check_parity(fixture, "video_swin_t", layout=layout, kept=kept)


def reference(video, size: str) -> nn.Module:
    """torchvision's network of a size, with random weights."""
    torch.manual_seed(0)
    net = getattr(video, f"swin3d_{size}")()
    for name, parameter in net.named_parameters():
        if name.endswith("bias_table"):
            nn.init.normal_(parameter)
    return net.eval()


@pytest.mark.slow
@pytest.mark.parametrize("size", ["s", "b"])
def test_other_sizes_equal_torchvision(torchvision_video, size):
    peer = reference(torchvision_video, size)
    ours = import_state(peer.state_dict(), f"video_swin_{size}").net
    for shape in [(20, 72, 96), (5, 40, 64)]:  # padded and shifted in time and space; smaller than the window
        clip = torch.randn(1, 3, *shape)
        with torch.inference_mode():
            wanted = peer(clip)
            logits = ours(clip.transpose(1, 2))
        assert (logits - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_relative_positions_tell_every_offset_apart():
    window = (2, 3, 3)
    index = relative_positions(window)
    grid = torch.cartesian_prod(*(torch.arange(n) for n in window))
    offsets = (grid[:, None] - grid[None, :]).reshape(-1, 3).tolist()
    rows = index.flatten().tolist()
    assert len(set(map(tuple, offsets))) == len(set(rows)) == 3 * 5 * 5
    assert len({(tuple(o), r) for o, r in zip(offsets, rows, strict=True)}) == 75
    assert (min(rows), max(rows)) == (0, 74)


def test_wrapped_positions_do_not_see_the_others():
    like = torch.zeros(())
    assert not shift_mask((2, 2, 2), (0, 0, 0), like).any()
    mask = shift_mask((1, 1, 4), (0, 0, 1), like)
    together = mask.eq(0)
    assert together.tolist() == [[1, 1, 1, 0]] * 3 + [[0, 0, 0, 1]]


def test_windows_shrink_with_the_volume():
    assert fitted((8, 7, 7), (4, 3, 3), (16, 7, 9)) == ((8, 7, 7), (4, 0, 3))
    assert fitted((8, 7, 7), (4, 3, 3), (3, 2, 14)) == ((3, 2, 7), (0, 0, 3))


@pytest.mark.parametrize("window", [(2, 3, 3), (4, 3, 3), (1, 2, 2)])
@pytest.mark.parametrize("layout", ["torchvision", "mmaction2"])
def test_window_and_patch_are_read_off_the_state(window, layout):
    architecture = MODELS.get("video_swin_tiny")
    key_map = next(m for m in architecture.key_maps if m.layout == layout)
    net = architecture.build(4, {"window": window, "patch": (1, 4, 4)})
    theirs = key_map.to_theirs(net.state_dict()).state
    recogniser = import_state(theirs, "video_swin_tiny")
    assert recogniser.arguments["window"] == window
    clip = torch.randn(1, 4, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(recogniser(clip), net.eval()(clip))
