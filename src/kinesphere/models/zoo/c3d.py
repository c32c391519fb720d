"""C3D: eight plain 3×3×3 convolutions and three fully connected layers.

Tran, Bourdev, Fergus, Torresani, Paluri: "Learning Spatiotemporal Features with 3D Convolutional
Networks", ICCV 2015, https://arxiv.org/abs/1412.0767, section 3.2 and figure 3.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import fit_length_and_size
from kinesphere.models.family import Family
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Arguments, KeyMap, Rename

CONVOLUTIONS = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")
POOL_AFTER = ("conv1", "conv2", "conv3b", "conv4b", "conv5b")


class C3D(nn.Module):
    """Convolutions with ReLU, five max-pools, three fully connected layers.

    The first pool keeps the time axis and the last pads its feature map by one cell, so that 16×112×112
    becomes 1×4×4 as in the original network.

    Args:
        num_classes: Number of outputs K.
        width: Channels of the first convolution; the others follow at 2, 4 and 8 times as many.
        hidden: Width of the two hidden fully connected layers.
        length: Frames T of the input.
        size_px: Height and width of the input.
        batch_norm: Whether a batch norm follows each convolution.
        dropout: Fraction of hidden units dropped in training.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 64,
        hidden: int = 4096,
        length: int = 16,
        size_px: int = 112,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        inputs = 3
        for name, factor in zip(CONVOLUTIONS, (1, 2, 4, 4, 8, 8, 8, 8), strict=True):
            outputs = factor * width
            layers: list[nn.Module] = [nn.Conv3d(inputs, outputs, 3, padding=1, bias=not batch_norm)]
            if batch_norm:
                layers.append(nn.BatchNorm3d(outputs))
            layers.append(nn.ReLU(inplace=True))
            if name == "conv1":
                layers.append(nn.MaxPool3d((1, 2, 2), (1, 2, 2)))
            elif name == "conv5b":
                layers.append(nn.MaxPool3d(2, 2, padding=(0, 1, 1)))
            elif name in POOL_AFTER:
                layers.append(nn.MaxPool3d(2, 2))
            self.add_module(name, nn.Sequential(*layers))
            inputs = outputs
        cells = (length // 16) * (size_px // 32 + 1) ** 2
        self.fc6 = nn.Linear(inputs * cells, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, num_classes)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = x_BTCHW.transpose(1, 2)
        for name in CONVOLUTIONS:
            x = getattr(self, name)(x)
        x = self.dropout(self.relu(self.fc6(x.flatten(1))))
        logits_BK: Tensor = self.fc8(self.dropout(self.relu(self.fc7(x))))
        return logits_BK


SPEC = ClipSpec(
    Sampling("dense", 16),
    size=(112, 112),
    short_side_px=128,
    mean=(104 / 255, 117 / 255, 128 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)
CAFFE_SPEC = SPEC.with_(channels="BGR", mean=(90 / 255, 98 / 255, 102 / 255))
FULLY_CONNECTED = (Rename("fc6.*", "fc6.*"), Rename("fc7.*", "fc7.*"), Rename("fc8.*", "fc8.*"))


def reads_batch_norm(state: Mapping[str, Tensor]) -> Arguments:
    """Whether a state has running statistics."""
    return {"batch_norm": any(key.endswith("running_mean") for key in state)}


def mmaction2_convolution(name: str) -> tuple[Rename, ...]:
    """Their blocks are called `conv1a` where ours is `conv1`; the norm is `bn`."""
    theirs = f"backbone.{name}a" if name in ("conv1", "conv2") else f"backbone.{name}"
    return (Rename(f"{theirs}.conv.*", f"{name}.0.*"), Rename(f"{theirs}.bn.*", f"{name}.1.*"))


MMACTION2 = KeyMap(
    "mmaction2",
    (
        *(rule for name in CONVOLUTIONS for rule in mmaction2_convolution(name)),
        Rename("backbone.fc6.*", "fc6.*"),
        Rename("backbone.fc7.*", "fc7.*"),
        Rename("cls_head.fc_cls.*", "fc8.*"),
    ),
    infer=reads_batch_norm,
)
FLAT = KeyMap(
    "pytorch_ports",
    (*(Rename(f"{name}.*", f"{name}.0.*") for name in CONVOLUTIONS), *FULLY_CONNECTED),
    spec=CAFFE_SPEC,
)
SEQUENTIAL = KeyMap(
    "sports1m_features",
    (
        *(
            Rename(f"features.{i}.*", f"{name}.0.*")
            for i, name in zip((0, 3, 6, 8, 11, 13, 16, 18), CONVOLUTIONS, strict=True)
        ),
        Rename("classifier.0.*", "fc6.*"),
        Rename("classifier.3.*", "fc7.*"),
        Rename("classifier.6.*", "fc8.*"),
    ),
    spec=CAFFE_SPEC,
)
FAMILY = Family(
    name="c3d",
    paper=cite("1412.0767", "3.2"),
    network=C3D,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(size=(32, 32), short_side_px=36),),
    head=("fc8",),
    stages=(*CONVOLUTIONS, "fc6", "fc7"),
    cam_layers=(CamLayer("conv5b", "B C T H W"),),
    classes=487,
    key_maps=(MMACTION2, FLAT, SEQUENTIAL),
    fit=partial(fit_length_and_size, side="size_px"),
    fixed_length=True,
    fixed_size=True,
    notes="The fully connected layers fix the input; the builder's `length` and `size_px` change it.",
)


@FAMILY.model("Eight 3×3×3 convolutions and three fully connected layers (Sports-1M layout).")
def c3d(num_classes: int) -> C3D:
    return FAMILY.build(num_classes)


@FAMILY.model("C3D with batch norm after every convolution.", key_maps=(MMACTION2,))
def c3d_bn(num_classes: int) -> C3D:
    return FAMILY.build(num_classes, batch_norm=True)


@FAMILY.model("c3d for tests.", tiny=True)
def c3d_tiny(num_classes: int) -> C3D:
    return FAMILY.build(num_classes, width=4, hidden=32, size_px=32)
