"""Key maps of the multiscale vision transformers.

The public layouts number blocks through; ours count them by stage. A stage begins where the attention
becomes wider.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate
from math import isqrt

from torch import Tensor

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.weights.keymap import Arguments, Ignore, Join, KeyMap, Rename, Rule, squeeze

_OUR_BLOCK = re.compile(r"layer(\d)\.(\d+)\.attn\.proj\.weight")
_THEIR_BLOCK = re.compile(r"(?:backbone\.)?blocks\.(\d+)\.attn\.(?:proj|project\.0)\.weight")
_PATCH_STRIDE = 4
_FRAME_STRIDE = 2

Renames = dict[str, str]

_COMMON: Renames = {
    "norm1.*": "norm1.*",
    "norm2.*": "norm2.*",
    "attn.rel_pos_t": "attn.relative.time",
    "attn.rel_pos_h": "attn.relative.height",
    "attn.rel_pos_w": "attn.relative.width",
}
_PROJECTIONS: Renames = {
    "attn.proj.*": "attn.proj.*",
    "mlp.fc1.*": "mlp.fc1.*",
    "mlp.fc2.*": "mlp.fc2.*",
    "proj.*": "proj.*",
}
_POOLS: Renames = {
    f"attn.{kind}_{x}.*": f"attn.pool_{x}.{kind}.*" for x in "qkv" for kind in ("pool", "norm")
}
_PYSLOWFAST_BLOCK = {**_COMMON, **_PROJECTIONS, **_POOLS, "attn.qkv.*": "attn.qkv.*"}
_TORCHVISION_BLOCK = {
    **_COMMON,
    "attn.qkv.*": "attn.qkv.*",
    "attn.project.0.*": "attn.proj.*",
    **{f"attn.pool_{x}.pool.*": f"attn.pool_{x}.pool.*" for x in "qkv"},
    **{f"attn.pool_{x}.norm_act.0.*": f"attn.pool_{x}.norm.*" for x in "qkv"},
    "mlp.0.*": "mlp.fc1.*",
    "mlp.3.*": "mlp.fc2.*",
    "project.*": "proj.*",
}
_LATER_POOLS = {f"attn._attention_pool_{name[10:]}": name for name in _POOLS.values()}


def stage_depths(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks per stage of a state with our names or theirs."""
    ours = [match for key in state if (match := _OUR_BLOCK.fullmatch(key))]
    if ours:
        stages = [int(match[1]) for match in ours]
        return tuple(stages.count(s) for s in sorted(set(stages)))
    blocks = [(int(match[1]), state[key].shape[0]) for key in state if (match := _THEIR_BLOCK.fullmatch(key))]
    widths = [width for _, width in sorted(blocks)]
    return tuple(widths.count(width) for width in sorted(set(widths)))


def _rules(
    state: Mapping[str, Tensor],
    outside: tuple[Rule, ...],
    block: Renames,
    *,
    prefix: str = "",
    split_qkv: bool = False,
) -> tuple[Rule, ...]:
    """`outside` and the rules of the blocks; the last stage, whose blocks have large numbers, first."""
    rules = list(outside)
    starts = [0, *accumulate(stage_depths(state))][:-1]
    for s, start in reversed(list(enumerate(starts, 1))):
        theirs, ours = f"{prefix}blocks.{{i+{start}}}.", f"layer{s}.{{i}}."
        if split_qkv:
            q, k, v = (f"{theirs}attn.{x}.*" for x in "qkv")
            rules.append(Join((q, k, v), f"{ours}attn.qkv.*"))
        rules += [Rename(theirs + their_name, ours + our_name) for their_name, our_name in block.items()]
    return tuple(rules)


_TELLING = ("stem.conv.weight", "layer2.0.attn.qkv.weight")


def _arguments(ours: Mapping[str, Tensor]) -> Arguments:
    """Builder arguments of a state with our names. Its tables were made for square clips."""
    depths = stage_depths(ours)
    tables = "layer1.0.attn.relative.time", "layer1.0.attn.relative.height"
    relative = all(name in ours for name in tables)
    tables = tables if relative else ("stem.position_time", "stem.position_space")
    if len(depths) != 4 or any(name not in ours for name in (*_TELLING, *tables)):
        return {}
    width = ours["stem.conv.weight"].shape[0]
    widening = ours["layer2.0.attn.qkv.weight"].shape
    arguments: Arguments = {
        "depths": depths,
        "width": width,
        "relative": relative,
        "residual_pooling": relative,  # leaves no trace in a state; version 2 brought both together
        "widen_in_attention": widening[0] != 3 * widening[1],
        "class_token": "stem.class_token" in ours,
    }
    kernel = ours.get("layer1.0.attn.pool_k.pool.weight")
    if kernel is None:  # pooling by mean has the same state, and must be asked for
        arguments |= {"pool": "max", "pool_every_query": relative}
    else:
        queries = "layer1.0.attn.pool_q.pool.weight" in ours
        arguments |= {"heads": width // kernel.shape[0], "pool": "conv", "pool_every_query": queries}
    frames, places = (ours[name].shape[0] for name in tables)
    side = (places + 1) // 2 if relative else isqrt(places)
    frames = (frames + 1) // 2 if relative else frames
    return {**arguments, "length": frames * _FRAME_STRIDE, "size": side * _PATCH_STRIDE}


def _key_map(
    layout: str,
    rules: Callable[[Mapping[str, Tensor]], tuple[Rule, ...]],
    arguments: Arguments | None = None,
) -> KeyMap:
    def infer(theirs: Mapping[str, Tensor]) -> Arguments:
        return _arguments(KeyMap(layout, rules).to_ours(theirs).state)

    return KeyMap(layout, rules, arguments or {}, infer)


def _outside(tokens: str, patches: str, norm: str, head: str) -> tuple[Rule, ...]:
    """Rules outside the blocks; `tokens` stands before the class token and the positions."""
    return (
        Rename(f"{tokens}cls_token", "stem.class_token", squeeze(0, 1)),
        Rename(f"{tokens}pos_embed_class", "stem.position_class", squeeze(0, 1)),
        Rename(f"{tokens}pos_embed_spatial", "stem.position_space", squeeze(0)),
        Rename(f"{tokens}pos_embed_temporal", "stem.position_time", squeeze(0)),
        Rename(f"{patches}.*", "stem.conv.*"),
        Rename(f"{norm}.*", "norm.*"),
        Rename(f"{head}.*", "fc.*"),
    )


def _pytorchvideo(state: Mapping[str, Tensor]) -> tuple[Rule, ...]:
    """Poolings have a second name in later files, for the same tensors; earlier files lack it."""
    is_theirs = any(key.startswith("blocks.") for key in state)
    is_early = is_theirs and not any("._attention_pool_" in key for key in state)
    twins = tuple(
        Ignore(f"blocks.{{i}}.attn.{kind}_{x}.*", "the same tensor under its earlier name")
        for x in "qkv"
        for kind in ("pool", "norm")
    )
    outside: tuple[Rule, ...] = (
        *(() if is_early else twins),
        *_outside("cls_positional_encoding.", "patch_embed.patch_model", "norm_embed", "head.proj"),
    )
    block = {**_COMMON, **_PROJECTIONS, **(_POOLS if is_early else _LATER_POOLS)}
    return _rules(state, outside, block, split_qkv=True)


_TORCHVISION = (
    Rename("conv_proj.*", "stem.conv.*"),
    Rename("pos_encoding.class_token", "stem.class_token"),
    Rename("pos_encoding.class_pos", "stem.position_class"),
    Rename("pos_encoding.spatial_pos", "stem.position_space"),
    Rename("pos_encoding.temporal_pos", "stem.position_time"),
    Rename("norm.*", "norm.*"),
    Rename("head.1.*", "fc.*"),
)
_PYSLOWFAST = _outside("", "patch_embed.proj", "norm", "head.projection")
_MMACTION2 = _outside("backbone.", "backbone.patch_embed.projection", "backbone.norm3", "cls_head.fc_cls")
MAPS = (
    _key_map("torchvision", partial(_rules, outside=_TORCHVISION, block=_TORCHVISION_BLOCK)),
    _key_map("pyslowfast", partial(_rules, outside=_PYSLOWFAST, block=_PYSLOWFAST_BLOCK)),
    _key_map("mmaction2", partial(_rules, outside=_MMACTION2, block=_PYSLOWFAST_BLOCK, prefix="backbone.")),
    # Its blocks hand their attention the plain layer norm, whatever their own epsilon.
    _key_map("pytorchvideo", _pytorchvideo, {"pool_eps": 1e-5}),
)


def clip(length: int, interval: int, size: int = 224, short_side: int | None = 256) -> ClipSpec:
    return ClipSpec(
        Sampling("dense", length, interval), size=(size, size), short_side_px=short_side, fps=30.0
    )
