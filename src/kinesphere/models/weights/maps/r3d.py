"""How public toolkits name the parts of 3D and (2+1)D basic-block networks, for the names of `zoo/r3d.py`.

The arguments are those under which that network computes what the toolkit's does.
"""

from __future__ import annotations

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.weights.keymap import SAME_KEYS, KeyMap, Rename, Rule

KINETICS_SPEC = ClipSpec(
    Sampling("dense", 16), size=(112, 112), mean=(0.4345, 0.4051, 0.3775), std=(0.2768, 0.2713, 0.2737)
)
UCF101_SPEC = ClipSpec(
    Sampling("dense", 16),
    size=(112, 112),
    short_side_px=128,
    channels="BGR",
    mean=(90 / 255, 98 / 255, 102 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)
MMACTION2_SPEC = ClipSpec(Sampling("dense", 8, 8), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)


RESNETS_R3D = KeyMap(
    "3d_resnets",
    (
        Rename("conv1.*", "stem.0.*"),
        Rename("bn1.*", "stem.1.*"),
        Rename("layer{s}.{b}.conv{i}.*", "layer{s}.{b}.conv{i}.0.*"),
        Rename("layer{s}.{b}.bn{i}.*", "layer{s}.{b}.conv{i}.1.*"),
        *SAME_KEYS,
    ),
    arguments={"stem_length": 7, "stem_pool": "volume"},
    spec=KINETICS_SPEC,
)
RESNETS_R2PLUS1D = KeyMap(
    "3d_resnets",
    (
        Rename("conv1_s.*", "stem.0.*"),
        Rename("bn1_s.*", "stem.1.*"),
        Rename("conv1_t.*", "stem.3.*"),
        Rename("bn1_t.*", "stem.4.*"),
        Rename("layer{s}.{b}.conv{i}_s.*", "layer{s}.{b}.conv{i}.0.0.*"),
        Rename("layer{s}.{b}.bn{i}_s.*", "layer{s}.{b}.conv{i}.0.1.*"),
        Rename("layer{s}.{b}.conv{i}_t.*", "layer{s}.{b}.conv{i}.0.3.*"),
        Rename("layer{s}.{b}.bn{i}_t.*", "layer{s}.{b}.conv{i}.1.*"),
        *SAME_KEYS,
    ),
    arguments={
        "stem_length": 7,
        "stem_middle": 110,
        "stem_pool": "volume",
        "own_middle": True,
        "norm_eps": 1e-5,
    },
    spec=KINETICS_SPEC,
)
MMACTION2 = KeyMap(
    "mmaction2",
    (
        Rename("backbone.conv1.conv.conv_s.*", "stem.0.*"),
        Rename("backbone.conv1.conv.bn_s.*", "stem.1.*"),
        Rename("backbone.conv1.conv.conv_t.*", "stem.3.*"),
        Rename("backbone.conv1.bn.*", "stem.4.*"),
        Rename("backbone.layer{s}.{b}.conv{i}.conv.conv_s.*", "layer{s}.{b}.conv{i}.0.0.*"),
        Rename("backbone.layer{s}.{b}.conv{i}.conv.bn_s.*", "layer{s}.{b}.conv{i}.0.1.*"),
        Rename("backbone.layer{s}.{b}.conv{i}.conv.conv_t.*", "layer{s}.{b}.conv{i}.0.3.*"),
        Rename("backbone.layer{s}.{b}.conv{i}.bn.*", "layer{s}.{b}.conv{i}.1.*"),
        Rename("backbone.layer{s}.{b}.downsample.conv.conv_s.*", "layer{s}.{b}.downsample.0.0.*"),
        Rename("backbone.layer{s}.{b}.downsample.conv.bn_s.*", "layer{s}.{b}.downsample.0.1.*"),
        Rename("backbone.layer{s}.{b}.downsample.conv.conv_t.*", "layer{s}.{b}.downsample.0.3.*"),
        Rename("backbone.layer{s}.{b}.downsample.bn.*", "layer{s}.{b}.downsample.1.*"),
        Rename("cls_head.fc_cls.*", "fc.*"),
    ),
    arguments={
        "stem_middle": 83,
        "stem_pool": "space",
        "shortcut_length": 3,
        "own_middle": True,
        "norm_eps": 1e-3,
        "middle_eps": 1e-5,
    },
    spec=MMACTION2_SPEC,
)


def jfzhang95_blocks(network: str, parts: tuple[tuple[str, str], ...]) -> tuple[Rule, ...]:
    """Rules of all blocks; `parts` names the pieces of one convolution, theirs and ours."""
    rules: list[Rule] = []
    for block, own in (("block1", "layer{s}.0"), ("blocks.{b}", "layer{s}.{b+1}")):
        theirs = f"{network}.conv{{s+1}}.{block}"
        for piece, place in parts:
            rules.append(Rename(f"{theirs}.conv{{i}}.{piece}.*", f"{own}.conv{{i}}.{place}.*"))
            rules.append(Rename(f"{theirs}.downsampleconv.{piece}.*", f"{own}.downsample.{place}.*"))
        rules.append(Rename(f"{theirs}.bn{{i}}.*", f"{own}.conv{{i}}.3.*"))
        rules.append(Rename(f"{theirs}.downsamplebn.*", f"{own}.downsample.3.*"))
    return tuple(rules)


JFZHANG95_R3D = KeyMap(
    "jfzhang95",
    (
        Rename("res3d.conv1.temporal_spatial_conv.*", "stem.0.*"),
        Rename("res3d.conv1.bn.*", "stem.1.*"),
        *jfzhang95_blocks("res3d", (("temporal_spatial_conv", "0"), ("bn", "1"))),
        Rename("linear.*", "fc.*"),
    ),
    arguments={"norm_twice": True},
    spec=UCF101_SPEC,
)
JFZHANG95_R2PLUS1D = KeyMap(
    "jfzhang95",
    (
        Rename("res2plus1d.conv1.spatial_conv.*", "stem.0.*"),
        Rename("res2plus1d.conv1.bn1.*", "stem.1.*"),
        Rename("res2plus1d.conv1.temporal_conv.*", "stem.3.*"),
        Rename("res2plus1d.conv1.bn2.*", "stem.4.*"),
        *jfzhang95_blocks(
            "res2plus1d",
            (("spatial_conv", "0.0"), ("bn1", "0.1"), ("temporal_conv", "0.3"), ("bn2", "1")),
        ),
        Rename("linear.*", "fc.*"),
    ),
    arguments={"norm_twice": True, "own_middle": True, "shortcut_length": 1, "norm_eps": 1e-5},
    spec=UCF101_SPEC,
)
