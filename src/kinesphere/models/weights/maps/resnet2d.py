"""How public files name the layers of an image ResNet that sits inside a video model as `backbone`.

Blocks are addressed by patterns such as `layer{s}.{b}` or by one place such as `layer2.0`; rules for single
places come before the rules for all.
"""

from __future__ import annotations

from kinesphere.models.weights.keymap import Ignore, KeyMap, Rename, Rule

EVERY_BLOCK = "layer{s}.{b}"

IMAGENET = KeyMap(
    "torchvision",
    (Ignore("fc.*", "the classifier of ImageNet"), Rename("*", "backbone.*")),
    backbone_only=True,
)


def mmaction2_block(place: str = EVERY_BLOCK, *, inside: str = "", conv1: str = "conv") -> tuple[Rule, ...]:
    """Rules for the blocks at `place`.

    Args:
        place: Pattern of the block within the backbone.
        inside: Their extra step when a wrapper holds the block (`".block"`).
        conv1: Their name of the first convolution proper (`"conv.net"` under a shift).
    """
    theirs, ours = f"backbone.{place}{inside}", f"backbone.{place}"
    return (
        Rename(f"{theirs}.conv1.{conv1}.weight", f"{ours}.conv1.weight"),
        Rename(f"{theirs}.conv1.bn.*", f"{ours}.bn1.*"),
        *(
            rule
            for i in (2, 3)
            for rule in (
                Rename(f"{theirs}.conv{i}.conv.weight", f"{ours}.conv{i}.weight"),
                Rename(f"{theirs}.conv{i}.bn.*", f"{ours}.bn{i}.*"),
            )
        ),
        Rename(f"{theirs}.downsample.conv.weight", f"{ours}.downsample.0.weight"),
        Rename(f"{theirs}.downsample.bn.*", f"{ours}.downsample.1.*"),
    )


MMACTION2_STEM: tuple[Rule, ...] = (
    Rename("backbone.conv1.conv.weight", "backbone.conv1.weight"),
    Rename("backbone.conv1.bn.*", "backbone.bn1.*"),
)
MMACTION2_HEAD: tuple[Rule, ...] = (Rename("cls_head.fc_cls.*", "fc.*"),)
MMACTION2: tuple[Rule, ...] = (*MMACTION2_STEM, *mmaction2_block(), *MMACTION2_HEAD)

MIT_HAN_LAB: tuple[Rule, ...] = (Rename("new_fc.*", "fc.*"), Rename("base_model.*", "backbone.*"))
