"""How public toolkits name the parts of a bottleneck residual network, for `resnet3d`'s names.

Each function gives the rules of one stage: `theirs` and `ours` are what stands before the block's own
names, for example `"blocks.{s}"` and `"layer{s}"`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from kinesphere.models.weights.keymap import Arguments, Ignore, KeyMap, Rename, Rule, Transform

IMAGENET = KeyMap(
    "torchvision",
    (Rename("conv1.*", "stem.0.*"), Rename("bn1.*", "stem.1.*"), Rename("*", "*")),
    backbone_only=True,
)
"""An image ResNet, whose blocks are called as ours."""
BRANCHES = (
    ("1", "downsample.0", "downsample.1"),
    ("2a", "conv1", "bn1"),
    ("2b", "conv2", "bn2"),
    ("2c", "conv3", "bn3"),
)
"""A block's shortcut and convolutions as numbered in Caffe2, with ours of their kernels and batch norms."""
CAFFE2_NORM = (("s", "weight"), ("b", "bias"), ("rm", "running_mean"), ("riv", "running_var"))


def mmaction2_stem(
    theirs: str = "backbone.", ours: str = "", transform: Transform | None = None
) -> tuple[Rule, ...]:
    """Convolution and batch norm before the first stage."""
    return (
        Rename(f"{theirs}conv1.conv.weight", f"{ours}stem.0.weight", transform),
        Rename(f"{theirs}conv1.bn.*", f"{ours}stem.1.*"),
    )


def mmaction2_stages(
    theirs: str = "backbone.", ours: str = "", transform: Transform | None = None
) -> tuple[Rule, ...]:
    """All stages; `transform` changes the form of every convolution kernel (2D ones of theirs)."""
    block, own = f"{theirs}layer{{s}}.{{b}}", f"{ours}layer{{s}}.{{b}}"
    return (
        Rename(f"{block}.conv{{i}}.conv.weight", f"{own}.conv{{i}}.weight", transform),
        Rename(f"{block}.conv{{i}}.bn.*", f"{own}.bn{{i}}.*"),
        Rename(f"{block}.downsample.conv.weight", f"{own}.downsample.0.weight", transform),
        Rename(f"{block}.downsample.bn.*", f"{own}.downsample.1.*"),
    )


MMACTION2_HEAD: tuple[Rule, ...] = (Rename("cls_head.fc_cls.*", "fc.*"),)
MMACTION2: tuple[Rule, ...] = (*mmaction2_stem(), *mmaction2_stages(), *MMACTION2_HEAD)
MMACTION2_ATTENTION = (
    ("g.0.conv", "g"),
    ("theta.conv", "theta"),
    ("phi.0.conv", "phi"),
    ("conv_out.conv", "out"),
    ("conv_out.bn", "bn"),
)
MMACTION2_NON_LOCAL: tuple[Rule, ...] = tuple(
    Rename(f"backbone.layer{{s}}.{{b}}.non_local_block.{theirs}.*", f"layer{{s}}.{{b}}.attention.{ours}.*")
    for theirs, ours in MMACTION2_ATTENTION
)


def pytorchvideo_stage(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A stage of PyTorchVideo: `{theirs}.res_blocks.0.branch2.conv_a`."""
    block, own = f"{theirs}.res_blocks.{{b}}", f"{ours}.{{b}}"
    rules: list[Rule] = [
        Rename(f"{block}.branch1_conv.weight", f"{own}.downsample.0.weight"),
        Rename(f"{block}.branch1_norm.*", f"{own}.downsample.1.*"),
    ]
    for letter, i in zip("abc", (1, 2, 3), strict=True):
        rules.append(Rename(f"{block}.branch2.conv_{letter}.weight", f"{own}.conv{i}.weight"))
        rules.append(Rename(f"{block}.branch2.norm_{letter}.*", f"{own}.bn{i}.*"))
    return tuple(rules)


def pytorchvideo_stem(theirs: str = "blocks.0", ours: str = "") -> tuple[Rule, ...]:
    return (
        Rename(f"{theirs}.conv.weight", f"{ours}stem.0.weight"),
        Rename(f"{theirs}.norm.*", f"{ours}stem.1.*"),
    )


PYTORCHVIDEO: tuple[Rule, ...] = (
    *pytorchvideo_stem(),
    Rename("blocks.5.proj.*", "fc.*"),
    *pytorchvideo_stage("blocks.{s}", "layer{s}"),
)
"""A network without pooling between the first two stages."""
PYTORCHVIDEO_POOLED: tuple[Rule, ...] = (
    *pytorchvideo_stem(),
    Rename("blocks.6.proj.*", "fc.*"),
    *pytorchvideo_stage("blocks.1", "layer1"),
    *(rule for s in (2, 3, 4) for rule in pytorchvideo_stage(f"blocks.{s + 1}", f"layer{s}")),
)
"""A network whose `blocks.2` pools over time."""


def pyslowfast_stem(pathway: int = 0, ours: str = "") -> tuple[Rule, ...]:
    return (
        Rename(f"s1.pathway{pathway}_stem.conv.weight", f"{ours}stem.0.weight"),
        Rename(f"s1.pathway{pathway}_stem.bn.*", f"{ours}stem.1.*"),
    )


def pyslowfast_stages(pathway: int = 0, ours: str = "") -> tuple[Rule, ...]:
    """All stages of one pathway of PySlowFast: `s2.pathway0_res0.branch2.a`."""
    rules: list[Rule] = []
    for branch, conv, norm in BRANCHES:
        theirs = f"s{{s+1}}.pathway{pathway}_res{{b}}.branch{'.'.join(branch)}"
        rules.append(Rename(f"{theirs}.weight", f"{ours}layer{{s}}.{{b}}.{conv}.weight"))
        rules.append(Rename(f"{theirs}_bn.*", f"{ours}layer{{s}}.{{b}}.{norm}.*"))
    return tuple(rules)


PYSLOWFAST_HEAD: tuple[Rule, ...] = (Rename("head.projection.*", "fc.*"),)
PYSLOWFAST: tuple[Rule, ...] = (*pyslowfast_stem(), *pyslowfast_stages(), *PYSLOWFAST_HEAD)
PYSLOWFAST_NON_LOCAL: tuple[Rule, ...] = tuple(
    Rename(f"s{{s+1}}.pathway0_nonlocal{{b}}.{theirs}.*", f"layer{{s}}.{{b}}.attention.{ours}.*")
    for theirs, ours in (
        ("conv_theta", "theta"),
        ("conv_phi", "phi"),
        ("conv_g", "g"),
        ("conv_out", "out"),
        ("bn", "bn"),
    )
)


def caffe2_norm(theirs: str, ours: str) -> tuple[Rule, ...]:
    """A batch norm in Caffe2's blobs: scale, bias, running mean, running variance."""
    return tuple(Rename(f"{theirs}_{blob}", f"{ours}.{name}") for blob, name in CAFFE2_NORM)


def caffe2_stem(theirs: str = "", ours: str = "") -> tuple[Rule, ...]:
    """`theirs` is `"t_"` for the fast pathway."""
    return (
        Rename(f"{theirs}conv1_w", f"{ours}stem.0.weight"),
        *caffe2_norm(f"{theirs}res_conv1_bn", f"{ours}stem.1"),
    )


def caffe2_stages(theirs: str = "", ours: str = "") -> tuple[Rule, ...]:
    """All stages of one pathway in Caffe2's blobs: `res2_0_branch2a_w`."""
    rules: list[Rule] = []
    for branch, conv, norm in BRANCHES:
        block = f"{theirs}res{{s+1}}_{{b}}_branch{branch}"
        rules.append(Rename(f"{block}_w", f"{ours}layer{{s}}.{{b}}.{conv}.weight"))
        rules.extend(caffe2_norm(f"{block}_bn", f"{ours}layer{{s}}.{{b}}.{norm}"))
    return tuple(rules)


CAFFE2_HEAD: tuple[Rule, ...] = (
    Rename("pred_w", "fc.weight"),
    Rename("pred_b", "fc.bias"),
    Rename("*.num_batches_tracked", "*.num_batches_tracked"),  # Caffe2 has none; ours pass on the way back
    Ignore("lr", "learning rate of the training run"),
    Ignore("model_iter", "step counter of the training run"),
)
CAFFE2: tuple[Rule, ...] = (*caffe2_stem(), *caffe2_stages(), *CAFFE2_HEAD)
CAFFE2_NON_LOCAL: tuple[Rule, ...] = tuple(
    rule
    for part in ("theta", "phi", "g", "out")
    for rule in (
        Rename(f"nonlocal_conv{{s+1}}_{{b}}_{part}_w", f"layer{{s}}.{{b}}.attention.{part}.weight"),
        Rename(f"nonlocal_conv{{s+1}}_{{b}}_{part}_b", f"layer{{s}}.{{b}}.attention.{part}.bias"),
    )
) + caffe2_norm("nonlocal_conv{s+1}_{b}_bn", "layer{s}.{b}.attention.bn")


def mmaction2_attention(theirs: Mapping[str, Tensor]) -> Arguments:
    """After which blocks a state of MMAction2 has non-local attention."""
    return _attention(theirs, r"backbone\.layer(\d)\.(\d+)\.non_local_block\.", first_stage=1)


def pyslowfast_attention(theirs: Mapping[str, Tensor]) -> Arguments:
    """After which blocks a state of PySlowFast has non-local attention."""
    return _attention(theirs, r"s(\d)\.pathway0_nonlocal(\d+)\.", first_stage=2)


def caffe2_attention(theirs: Mapping[str, Tensor]) -> Arguments:
    """After which blocks a state in Caffe2's blobs has non-local attention."""
    return _attention(theirs, r"nonlocal_conv(\d)_(\d+)_", first_stage=2)


def _attention(theirs: Mapping[str, Tensor], pattern: str, first_stage: int) -> Arguments:
    found = {match.groups() for key in theirs if (match := re.match(pattern, key))}
    places = {(int(s) - first_stage + 1, int(b)) for s, b in found}
    return {f"attend{s}": tuple(sorted(b for stage, b in places if stage == s)) for s in (2, 3)}
