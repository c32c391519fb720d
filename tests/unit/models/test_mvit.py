from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting
from kinesphere.models import import_state, load_model, save_model
from kinesphere.models.registry import MODELS
from kinesphere.models.zoo.mvit import MViT
from kinesphere.models.zoo.mvit.blocks import (
    HALF_PRECISION_UNIT,
    PatchTokens,
    PooledAttention,
    RelativePositions,
    TokenPool,
    relative_table,
)

LAYOUTS = {key_map.layout: key_map for key_map in MODELS.get("mvit_v2_s").key_maps}
SMALL = {"depths": (1, 3, 2, 1), "width": 16, "length": 8, "size": 48}
V1 = {"relative": False, "residual_pooling": False, "widen_in_attention": False, "pool_every_query": False}


def clip(length: int = 8, size: int = 48) -> torch.Tensor:
    return torch.randn(2, length, 3, size, size, generator=torch.Generator().manual_seed(0))


def shaken(net: MViT) -> MViT:
    """A network none of whose tensors has a special value."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return net.eval()


@pytest.mark.parametrize("lead", [0, 1])
def test_folded_positions_equal_biases_of_all_pairs(lead):
    queries, keys, width = (2, 4, 3), (2, 2, 2), 8
    positions = RelativePositions(width, queries, keys, lead=lead).double()
    q = torch.randn(2, lead + 24, 3, width, dtype=torch.float64)
    k = torch.randn(2, lead + 8, 3, width, dtype=torch.float64)
    long_q, long_k = positions(q, k, queries, keys)
    folded = torch.einsum("bqnd,bknd->bnqk", long_q, long_k) / width**0.5
    grid = q[:, lead:].unflatten(1, queries)
    tables = (positions.time, positions.height, positions.width)
    t, h, w = (relative_table(*sizes) for sizes in zip(tables, queries, keys, strict=True))
    bias = (
        torch.einsum("bthwnd,tkd->bnthwk", grid, t)[..., :, None, None]
        + torch.einsum("bthwnd,hkd->bnthwk", grid, h)[..., None, :, None]
        + torch.einsum("bthwnd,wkd->bnthwk", grid, w)[..., None, None, :]
    )
    bias = F.pad(bias.flatten(2, 4).flatten(3), (lead, 0, lead, 0))
    torch.testing.assert_close(folded, torch.einsum("bqnd,bknd->bnqk", q, k) / width**0.5 + bias)


def test_heads_in_16_bits_are_filled_up_with_zeros():
    positions = RelativePositions(8, (2, 4, 3), (2, 2, 2), lead=1)
    q, k = torch.randn(2, 25, 3, 8), torch.randn(2, 9, 3, 8)
    grids = (2, 4, 3), (2, 2, 2)
    wide = positions(q.bfloat16(), k.bfloat16(), *grids)
    for filled, plain in zip(wide, positions(q, k, *grids), strict=True):
        assert (filled.shape[-1], plain.shape[-1]) == (HALF_PRECISION_UNIT, 14)
        assert not filled[..., 14:].any()
        torch.testing.assert_close(filled[..., :14].float(), plain, rtol=0.03, atol=0.1)


@given(st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_distances_grow_by_the_steps_of_the_finer_grid(queries, keys):
    length = 2 * max(queries, keys) - 1
    distances = relative_table(torch.arange(float(length))[:, None], queries, keys)[..., 0]
    assert distances.shape == (queries, keys)
    assert distances.min() >= 0
    assert distances.max() <= length - 1
    assert (distances.diff(dim=0) >= 0).all()
    assert (distances.diff(dim=1) <= 0).all()
    if queries == keys:
        assert distances.diagonal().eq(keys - 1).all()


def test_a_table_of_another_size_is_interpolated():
    table = torch.arange(5.0)[:, None]  # distances -2 to 2
    assert relative_table(table, 3, 3)[0, :, 0].tolist() == [2, 1, 0]
    finer = relative_table(table, 6, 6)[..., 0]
    assert finer.diagonal().eq(2).all()
    assert finer.min() == 0
    assert finer.max() == 4


def test_pooling_treats_heads_alike_and_spares_the_class_token():
    pool = TokenPool(4, 2, "conv", lead=1)
    pool.norm = torch.nn.Identity()
    x = torch.randn(2, 1 + 2 * 4 * 4, 3, 4)
    pooled = pool(x, (2, 4, 4))
    assert pooled.shape == (2, 1 + 2 * 2 * 2, 3, 4)
    assert torch.equal(pooled[:, :1], x[:, :1])
    one = pool(x[:, :, 1:2], (2, 4, 4))
    torch.testing.assert_close(pooled[:, :, 1:2], one)
    places = x[:, 1:, 1].transpose(1, 2).unflatten(2, (2, 4, 4))
    torch.testing.assert_close(one[:, 1:, 0], pool.pool(places).flatten(2).transpose(1, 2))


@pytest.mark.parametrize(("kind", "expected"), [("max", 1.0), ("avg", 8 / 27)])  # zeros around the grid count
def test_pooling_without_weights(kind, expected):
    x = torch.ones(1, 2 * 4 * 4, 1, 4)
    pooled = TokenPool(4, 4, kind, lead=0)(x, (2, 4, 4))
    assert pooled.shape == (1, 2, 1, 4)
    assert pooled.allclose(torch.tensor(expected))


def test_wrong_settings_are_refused():
    with pytest.raises(InvalidSetting, match=r"Pooling is conv, max or avg; got 'sum'"):
        MViT(3, pool="sum")
    with pytest.raises(
        InvalidSetting, match=r"MViT has four stages of at least one block; got depths \(1, 2\)"
    ):
        MViT(3, depths=(1, 2))


def test_pooled_queries_are_added_to_the_grid_alone():
    attention = PooledAttention(
        8, 8, 2, 1, 1, pool="max", pool_query=False, relative=None, residual=True, lead=1
    )
    x = torch.randn(1, 5, 8)
    with_queries = attention(x, (1, 2, 2))
    attention.residual = False
    difference = with_queries - attention(x, (1, 2, 2))
    queries = F.linear(attention.qkv(x)[..., :8], attention.proj.weight)
    torch.testing.assert_close(difference[:, 1:], queries[:, 1:])
    assert difference[:, 0].abs().max() < 1e-6


def test_absolute_positions_follow_the_grid():
    stem = PatchTokens(4, (2, 3, 3), absolute=True, class_token=True)
    with torch.no_grad():
        stem.position_space.copy_(torch.arange(9.0)[:, None].expand(9, 4))
        stem.position_time.copy_(torch.tensor([[0.0], [100.0]]).expand(2, 4))
        own, other = (
            stem._positions(stem.position_space, stem.position_time, g) for g in ((2, 3, 3), (4, 6, 6))
        )
    assert own[:, 0].tolist() == [*range(9), *range(100, 109)]
    assert other.shape == (4 * 6 * 6, 4)
    assert other.mean() == pytest.approx(own.mean().item())


@pytest.mark.parametrize(
    ("layout", "changes"),
    [
        ("torchvision", {}),
        ("torchvision", V1),
        ("pyslowfast", {}),
        ("pyslowfast", V1),
        ("pyslowfast", {"widen_in_attention": False}),
        ("pyslowfast", {"class_token": False}),
        ("pyslowfast", {"heads": 2}),
        ("pyslowfast", {"pool": "max"}),
        ("pyslowfast", V1 | {"pool": "max"}),
        ("mmaction2", {}),
        ("mmaction2", {"widen_in_attention": False}),
        ("pytorchvideo", V1 | {"pool_eps": 1e-5}),
    ],
)
def test_layouts_tell_depth_width_clip_and_version(layout, changes):
    net = shaken(MViT(7, **SMALL, **changes))
    theirs = LAYOUTS[layout].to_theirs(net.state_dict())
    assert not theirs.unmapped
    imported = import_state(theirs.state, "mvit_v2_s", layout=layout)
    assert imported.specs[0].length == 8
    assert imported.specs[0].size == (48, 48)
    with torch.inference_mode():
        assert torch.equal(imported(clip()), net(clip()))


def test_earlier_names_of_pytorchvideo_are_read_too():
    net = shaken(MViT(3, **SMALL, **V1))
    later = LAYOUTS["pytorchvideo"].to_theirs(net.state_dict()).state
    pools = [key for key in later if "_attention_pool_" in key]
    assert pools
    earlier = {re.sub(r"_attention_pool_(.)\.(pool|norm)", r"\2_\1", key): later[key] for key in later}
    for theirs in (earlier, earlier | later):
        imported = import_state(theirs, "mvit_v1_b_16x4").net.state_dict()
        assert all(torch.equal(value, net.state_dict()[key]) for key, value in imported.items())


@pytest.mark.parametrize(
    ("layout", "eps"),
    [("torchvision", 1e-6), ("pyslowfast", 1e-6), ("mmaction2", 1e-6), ("pytorchvideo", 1e-5)],
)
def test_a_layout_tells_the_epsilon_after_pooling(layout, eps, tmp_path):
    theirs = LAYOUTS[layout].to_theirs(MViT(3, **SMALL, **V1).state_dict()).state
    imported = import_state(theirs, "mvit_v1_b_16x4", layout=layout)
    save_model(imported, tmp_path / "mvit.safetensors")
    x = 1e-3 * torch.randn(1, 1 + 4 * 12 * 12, 1, 16)  # of a variance near the epsilons
    for net in (imported.net, load_model(tmp_path / "mvit.safetensors").net):
        pool = net.layer1[0].attn.pool_k
        norm = pool.norm
        pool.norm = torch.nn.Identity()
        pooled = pool(x, (4, 12, 12))
        pool.norm = norm
        expected = F.layer_norm(pooled, (16,), norm.weight, norm.bias, eps)
        torch.testing.assert_close(pool(x, (4, 12, 12)), expected)
        others = [m.eps for name, m in net.named_modules() if name.endswith(("norm1", "norm2"))]
        assert {*others, net.norm.eps} == {1e-6}


def test_a_state_with_a_missing_tensor_is_refused():
    theirs = LAYOUTS["pyslowfast"].to_theirs(MViT(3, **SMALL).state_dict()).state
    del theirs["blocks.2.attn.proj.bias"]
    with pytest.raises(InvalidCheckpoint, match=r"1 missing \(layer2.1.attn.proj.bias\)"):
        import_state(theirs, "mvit_v2_s")
    with pytest.raises(InvalidCheckpoint, match="These weights are no mvit_v2_s"):
        import_state({"conv1.weight": torch.zeros(2, 3)}, "mvit_v2_s")
