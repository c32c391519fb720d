"""How public files name the layers of MobileNetV2 that sits inside a video model as `backbone`.

Blocks with a shift in front are wrapped as `net`: those with a shortcut, all but the first of a stage.
"""

from __future__ import annotations

from kinesphere.models.weights.keymap import Ignore, KeyMap, Rename, Rule

COUNTS = (1, 2, 3, 4, 3, 3, 1)  # blocks per stage
PARTS = ("expand", "depthwise", "project")


def parts(stage: int) -> tuple[str, ...]:
    """The convolutions of a block; those of stage 1 do not widen."""
    return PARTS if stage > 1 else PARTS[1:]


def mmaction2_shifted() -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for name in ("conv1", "conv2"):
        rules.append(Rename(f"backbone.{name}.conv.*", f"backbone.{name}.0.*"))
        rules.append(Rename(f"backbone.{name}.bn.*", f"backbone.{name}.1.*"))
    for stage, count in enumerate(COUNTS, start=1):
        for block in range(count):
            place = f"backbone.layer{stage}.{block}"
            for i, part in enumerate(parts(stage)):
                net = ".net" if block > 0 and part == "expand" else ""
                rules.append(Rename(f"{place}.conv.{i}{net}.conv.*", f"{place}.{part}.0.*"))
                rules.append(Rename(f"{place}.conv.{i}{net}.bn.*", f"{place}.{part}.1.*"))
    return tuple(rules)


def flat(prefix: str, *, shifted: bool) -> tuple[Rule, ...]:
    """Rules for one list of `features`.

    Args:
        prefix: Before `features`.
        shifted: The list of the original port, wrapped for shifts; otherwise torchvision's, which nests
            convolution, norm and activation.
    """
    rules: list[Rule] = []
    index = 1
    for stage, count in enumerate(COUNTS, start=1):
        for block in range(count):
            theirs, ours = f"{prefix}features.{index}.conv", f"backbone.layer{stage}.{block}"
            for i, part in enumerate(parts(stage)):
                if shifted:
                    net = ".net" if block > 0 and part == "expand" else ""
                    convolution, norm = f"{3 * i}{net}", f"{3 * i + 1}"
                elif part == "project":
                    convolution, norm = f"{i}", f"{i + 1}"
                else:
                    convolution, norm = f"{i}.0", f"{i}.1"
                rules.append(Rename(f"{theirs}.{convolution}.weight", f"{ours}.{part}.0.weight"))
                rules.append(Rename(f"{theirs}.{norm}.*", f"{ours}.{part}.1.*"))
            index += 1
    rules.append(Rename(f"{prefix}features.0.*", "backbone.conv1.*"))
    rules.append(Rename(f"{prefix}features.{index}.*", "backbone.conv2.*"))
    return tuple(rules)


MMACTION2_SHIFTED = mmaction2_shifted()
MIT_HAN_LAB_SHIFTED = flat("base_model.", shifted=True)
IMAGENET = KeyMap(
    "torchvision",
    (Ignore("classifier.*", "the classifier of ImageNet"), *flat("", shifted=False)),
    backbone_only=True,
)
