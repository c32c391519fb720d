"""Public ImageNet weights of the image ResNets, as every model built on them offers them."""

from __future__ import annotations

from kinesphere.models.card import ReportedScore, WeightEntry

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# depth -> tag -> file, ImageNet top-1 and top-5 of one 224×224 centre crop
_FILES: dict[int, dict[str, tuple[str, float, float]]] = {
    18: {"imagenet": ("resnet18-f37072fd.pth", 0.69758, 0.89078)},
    34: {"imagenet": ("resnet34-b627a593.pth", 0.73314, 0.9142)},
    50: {
        "imagenet": ("resnet50-0676ba61.pth", 0.7613, 0.92862),
        "imagenet_v2": ("resnet50-11ad3fa6.pth", 0.80858, 0.95434),
    },
    101: {
        "imagenet": ("resnet101-63fe2227.pth", 0.77374, 0.93546),
        "imagenet_v2": ("resnet101-cd907fc2.pth", 0.81886, 0.9578),
    },
    152: {
        "imagenet": ("resnet152-394f9c45.pth", 0.78312, 0.94046),
        "imagenet_v2": ("resnet152-f82ba261.pth", 0.82284, 0.96002),
    },
}


def imagenet_weights(depth: int) -> tuple[WeightEntry, ...]:
    """Backbone entries for a ResNet of `depth`; a file's name ends in its digest."""
    return tuple(
        WeightEntry(
            tag=tag,
            url=f"https://download.pytorch.org/models/{file}",
            layout="torchvision",
            labels=None,
            classes=1000,
            sha256=file.rpartition("-")[2].removesuffix(".pth"),
            licence="BSD-3-Clause",
            scores=(
                ReportedScore("top1", top1, "ImageNet-1K", "images, centre crop, whole classifier"),
                ReportedScore("top5", top5, "ImageNet-1K", "images, centre crop, whole classifier"),
            ),
            backbone_only=True,
        )
        for tag, (file, top1, top5) in _FILES[depth].items()
    )
