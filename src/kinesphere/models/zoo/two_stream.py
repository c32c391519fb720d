"""Two streams: what is there (pixels) and how it moves (optical flow).

- `two_stream`: Simonyan, Zisserman: "Two-Stream Convolutional Networks for Action Recognition in Videos",
  NIPS 2014, https://arxiv.org/abs/1406.2199, sections 2 to 5: class probabilities averaged.
- `two_stream_fused_3d`: Feichtenhofer, Pinz, Zisserman: "Convolutional Two-Stream Network Fusion for Video
  Action Recognition", CVPR 2016, https://arxiv.org/abs/1604.06573, sections 3.2 to 3.4 and figure 4.
- `two_stream_i3d`: Carreira, Zisserman: "Quo Vadis, Action Recognition?", CVPR 2017,
  https://arxiv.org/abs/1705.07750, section 2.4: two Inception I3D, scores averaged.

B batch, T time, C channels, H W pixels, L stacked flow fields, S snippets, K classes.
"""

from __future__ import annotations

from functools import partial
from math import log

import torch
from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer, Part
from kinesphere.models.contracts import MEAN, STD, fit_length_and_size
from kinesphere.models.family import Family
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import Ignore, KeyMap, Rename
from kinesphere.models.zoo import i3d

STACK = 10  # flow fields that the temporal stream sees at once (L)
# Below these sizes nothing is left of a frame after the layers of CNN-M-2048, and of VGG-16 and the pool.
LEAST_PX, LEAST_FUSED_PX = 57, 32


def stacks(flow_BTCHW: Tensor) -> Tensor:
    """Flow fields as channels: `(B, S, 2L, H, W)`, x and y of the first, x and y of the second …

    Raises:
        InvalidSetting: If the clip is no whole number of stacks.
    """
    T = flow_BTCHW.shape[1]
    if T % STACK:
        raise InvalidSetting(f"Flow comes in stacks of {STACK} fields; got a clip of {T}, not a multiple.")
    stacked_BSCHW: Tensor = flow_BTCHW.unflatten(1, (-1, STACK)).flatten(2, 3)
    return stacked_BSCHW


def average_probability(logits_BSK: Tensor) -> Tensor:
    """Logits `(B, K)` whose softmax is the mean of the softmaxes over S."""
    return logits_BSK.log_softmax(-1).logsumexp(1) - log(logits_BSK.shape[1])


class StreamNet(nn.Module):
    """CNN-M-2048 of figure 1: images `(N, C, H, W)` to logits `(N, K)`.

    Args:
        num_classes: K.
        channels: C: 3, or 2 per flow field.
        second_norm: Whether the second convolution is normalised; the temporal net saves the memory.
        size_px: Height and width of the input.
        divide: Divides all widths, for small variants.
        dropout: After the hidden fully connected layers.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        *,
        second_norm: bool,
        size_px: int = 224,
        divide: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_size(size_px, LEAST_PX)
        c1, c2, c3 = 96 // divide, 256 // divide, 512 // divide
        # Krizhevsky et al. 2012: k = 2, n = 5, alpha = 1e-4, beta = 0.75; PyTorch divides alpha by n
        norm = partial(nn.LocalResponseNorm, 5, alpha=5e-4, beta=0.75, k=2.0)
        pool = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
        relu = partial(nn.ReLU, inplace=True)
        second: nn.Module = norm() if second_norm else nn.Identity()
        self.conv1 = nn.Sequential(nn.Conv2d(channels, c1, 7, 2), relu(), norm(), pool())
        self.conv2 = nn.Sequential(nn.Conv2d(c1, c2, 5, 2, 1), relu(), second, pool())
        self.conv3 = nn.Sequential(nn.Conv2d(c2, c3, 3, 1, 1), relu())
        self.conv4 = nn.Sequential(nn.Conv2d(c3, c3, 3, 1, 1), relu())
        self.conv5 = nn.Sequential(nn.Conv2d(c3, c3, 3, 1, 1), relu(), pool())
        cells = size_px
        for kernel, stride, padding in ((7, 2, 0), (3, 2, 0), (5, 2, 1), (3, 2, 0), (3, 2, 0)):
            steps = cells + 2 * padding - kernel
            cells = (steps // stride if kernel > 3 else -(-steps // stride)) + 1  # pools round up
        self.full6 = nn.Linear(c3 * cells**2, 4096 // divide)
        self.full7 = nn.Linear(4096 // divide, 2048 // divide)
        self.fc = nn.Linear(2048 // divide, num_classes)
        self.relu = relu()
        self.dropout = nn.Dropout(dropout)
        initialise(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x = self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x_NCHW)))))
        x = self.dropout(self.relu(self.full6(x.flatten(1))))
        logits_NK: Tensor = self.fc(self.dropout(self.relu(self.full7(x))))
        return logits_NK


class TwoStream(nn.Module):
    """One net on frames, one on stacked flow; the mean of their class probabilities, as logits."""

    def __init__(
        self, num_classes: int, *, size_px: int = 224, divide: int = 1, dropout: float = 0.5
    ) -> None:
        super().__init__()
        net = partial(StreamNet, num_classes, size_px=size_px, divide=divide, dropout=dropout)
        self.spatial = net(3, second_norm=True)
        self.temporal = net(2 * STACK, second_norm=False)

    def forward(self, rgb_BTCHW: Tensor, flow_BTCHW: Tensor) -> Tensor:
        spatial_BSK = self.spatial(rgb_BTCHW.flatten(0, 1)).unflatten(0, rgb_BTCHW.shape[:2])
        flow_BSCHW = stacks(flow_BTCHW)
        temporal_BSK = self.temporal(flow_BSCHW.flatten(0, 1)).unflatten(0, flow_BSCHW.shape[:2])
        both = (average_probability(spatial_BSK), average_probability(temporal_BSK))
        return average_probability(torch.stack(both, 1))


class VGG16(nn.Module):
    """The 13 convolutions of VGG-16, up to the ReLU of conv5_3: `(N, C, H, W)` at a sixteenth of the size.

    Simonyan, Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
    table 1, configuration D.
    """

    def __init__(self, channels: int, *, divide: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for i, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
            if i > 0:
                layers.append(nn.MaxPool2d(2, 2))
            for _ in range(count):
                layers += [nn.Conv2d(inputs, width // divide, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width // divide
        self.layers = nn.Sequential(*layers)
        self.outputs = inputs

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = self.layers(x_NCHW)
        return out


class Classifier(nn.Module):
    """3D pooling and three fully connected layers: `(B, C, T, H, W)` to logits `(B, K)`."""

    def __init__(self, num_classes: int, channels: int, cells: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.pool = nn.MaxPool3d((1, 2, 2), (1, 2, 2))
        self.fc6 = nn.Linear(channels * cells**2, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, num_classes)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x = self.pool(x_BCTHW).amax(2).flatten(1)  # the pool spans all T
        x = self.dropout(self.relu(self.fc6(x)))
        logits_BK: Tensor = self.fc8(self.dropout(self.relu(self.fc7(x))))
        return logits_BK


class FusedTwoStream(nn.Module):
    """Streams joined by a 3D convolution after their last 2D one; the temporal stream also goes on alone.

    The fusing filter is 3×3×3 over the stacked channels of both streams. The mean of both branches' class
    probabilities, as logits (section 3.4).

    Args:
        num_classes: Number of outputs K.
        size_px: Height and width of the input.
        divide: Divides all widths, for small variants.
        dropout: After the hidden fully connected layers.
    """

    def __init__(
        self, num_classes: int, *, size_px: int = 224, divide: int = 1, dropout: float = 0.5
    ) -> None:
        super().__init__()
        check_size(size_px, LEAST_FUSED_PX)
        self.spatial = VGG16(3, divide=divide)
        self.temporal = VGG16(2 * STACK, divide=divide)
        channels = self.spatial.outputs
        self.fuse = nn.Sequential(nn.Conv3d(2 * channels, channels, 3, padding=1), nn.ReLU(inplace=True))
        cells, hidden = size_px // 32, 4096 // divide
        self.fused_head = Classifier(num_classes, channels, cells, hidden, dropout)
        self.temporal_head = Classifier(num_classes, channels, cells, hidden, dropout)
        initialise(self)

    def forward(self, rgb_BTCHW: Tensor, flow_BTCHW: Tensor) -> Tensor:
        flow_BSCHW = stacks(flow_BTCHW)
        if flow_BSCHW.shape[1] != rgb_BTCHW.shape[1]:
            raise InvalidSetting(
                f"Every frame needs its stack of {STACK} flow fields; got {rgb_BTCHW.shape[1]} frames and "
                f"{flow_BSCHW.shape[1]} stacks."
            )
        clip = rgb_BTCHW.shape[:2]
        spatial = self.spatial(rgb_BTCHW.flatten(0, 1)).unflatten(0, clip).transpose(1, 2)
        temporal = self.temporal(flow_BSCHW.flatten(0, 1)).unflatten(0, clip).transpose(1, 2)
        fused = self.fuse(torch.cat([spatial, temporal], 1))
        both = (self.fused_head(fused), self.temporal_head(temporal))
        return average_probability(torch.stack(both, 1))


class TwoStreamI3D(nn.Module):
    """Two Inception I3D; the mean of their logits."""

    def __init__(self, num_classes: int, *, divide: int = 1, dropout: float = 0.5) -> None:
        super().__init__()
        self.rgb = i3d.inception_i3d(num_classes, divide=divide, dropout=dropout)
        self.flow = i3d.inception_i3d(num_classes, channels=2, divide=divide, dropout=dropout)

    def forward(self, rgb_BTCHW: Tensor, flow_BTCHW: Tensor) -> Tensor:
        logits_BK: Tensor = (self.rgb(rgb_BTCHW) + self.flow(flow_BTCHW)) / 2
        return logits_BK


def check_size(size_px: int, least_px: int) -> None:
    if size_px < least_px:
        raise InvalidSetting(f"This network takes frames of {least_px} px or more; got size_px={size_px}.")


def initialise(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


RGB_SPEC = ClipSpec(Sampling("dense", 1), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
FLOW_SPEC = RGB_SPEC.with_(
    sampling=Sampling("dense", STACK), modality="flow", mean=(0.0, 0.0), std=(20.0, 20.0)
)
NOTE = "No public weights or fixture; tests hold the papers' properties. "

VGG16_IMAGENET = KeyMap(
    "torchvision",
    (
        Rename("features.*", "spatial.layers.*"),
        Rename("classifier.0.*", "fused_head.fc6.*"),
        Rename("classifier.3.*", "fused_head.fc7.*"),
        Ignore("classifier.6.*", "the classifier of ImageNet"),
    ),
    backbone_only=True,
)


fit = partial(fit_length_and_size, side="size_px")


def fused_inputs(frames: int) -> tuple[ClipSpec, ClipSpec]:
    """Frames, a stack of flow apart, and the stacks between them (section 3.4: T = 5)."""
    return (
        RGB_SPEC.with_(sampling=Sampling("dense", frames, STACK)),
        FLOW_SPEC.with_(sampling=Sampling("dense", frames * STACK)),
    )


def shrunk(specs: tuple[ClipSpec, ...], size_px: int) -> tuple[ClipSpec, ...]:
    return tuple(spec.with_(size=(size_px, size_px), short_side_px=size_px + 8) for spec in specs)


TWO_STREAM = Family(
    name="two_stream",
    paper=cite("1406.2199", "2-5"),
    network=TwoStream,
    inputs=(RGB_SPEC, FLOW_SPEC),
    tiny_inputs=shrunk((RGB_SPEC, FLOW_SPEC), 64),
    stages=tuple(
        f"{stream}.{stage}"
        for stream in ("spatial", "temporal")
        for stage in ("conv1", "conv2", "conv3", "conv4", "conv5", "full6", "full7")
    ),
    head=("spatial.fc", "temporal.fc"),
    cam_layers=(CamLayer("spatial.conv5", "BT C H W"), CamLayer("temporal.conv5", "BT C H W", input=1)),
    classes=101,
    fit=fit,
    fixed_size=True,
    notes=NOTE + "The fully connected layers fix the size; the builder's `size_px` changes it.",
)
FUSED = TWO_STREAM.of(
    FusedTwoStream,
    paper=cite("1604.06573", "3"),
    inputs=fused_inputs(5),
    tiny_inputs=shrunk(fused_inputs(2), 64),
    stages=("spatial", "temporal", "fuse", "fused_head.fc6", "fused_head.fc7"),
    head=("fused_head.fc8", "temporal_head.fc8"),
    cam_layers=(CamLayer("spatial", "BT C H W"), CamLayer("temporal", "BT C H W", input=1)),
    key_maps=(VGG16_IMAGENET,),
    notes=NOTE + "ImageNet weights start the spatial stream and the fused branch; the pool after fusion "
    "spans two by two cells and all frames. The fully connected layers fix the size; the builder's "
    "`size_px` changes it, and then fits no ImageNet weights.",
)
TWO_STREAM_I3D = Family(
    name="two_stream",
    paper=i3d.I3D.paper,
    network=TwoStreamI3D,
    inputs=(i3d.SPEC, i3d.FLOW_SPEC),
    tiny_inputs=(
        *i3d.I3D.tiny_inputs,
        i3d.I3D.tiny_inputs[0].with_(modality="flow", mean=(0.0, 0.0), std=(20.0, 20.0)),
    ),
    stages=tuple(f"{stream}.{stage}" for stream in ("rgb", "flow") for stage in i3d.STAGES),
    head=("rgb.fc", "flow.fc"),
    cam_layers=(CamLayer("rgb.mixed_5c", "B C T H W"), CamLayer("flow.mixed_5c", "B C T H W", input=1)),
    notes="Public weights come stream by stream, those of i3d_inception and i3d_inception_flow: "
    "`kinesphere import RGB FLOW --model two_stream_i3d` joins two files, `join_i3d` two models. Parity "
    "rests on the fixtures of those two.",
)


@TWO_STREAM.model("Frame and stacked flow in two networks, probabilities averaged.")
def two_stream(num_classes: int) -> TwoStream:
    return TWO_STREAM.build(num_classes)


@FUSED.model("Two VGG-16 joined by a 3D convolution and pooled over time.")
def two_stream_fused_3d(num_classes: int) -> FusedTwoStream:
    return FUSED.build(num_classes)


@TWO_STREAM_I3D.model(
    "Inception I3D on pixels and on flow, scores averaged.",
    parts=(
        Part("rgb", "i3d_inception", "pixels", {"dropout": "dropout"}),
        Part("flow", "i3d_inception_flow", "flow", {"dropout": "dropout"}),
    ),
)
def two_stream_i3d(num_classes: int) -> TwoStreamI3D:
    return TWO_STREAM_I3D.build(num_classes)


@TWO_STREAM.model("two_stream for tests.", tiny=True)
def two_stream_tiny(num_classes: int) -> TwoStream:
    return TWO_STREAM.build(num_classes, size_px=64, divide=16)


@FUSED.model("two_stream_fused_3d for tests.", tiny=True)
def two_stream_fused_3d_tiny(num_classes: int) -> FusedTwoStream:
    return FUSED.build(num_classes, size_px=64, divide=16)


@TWO_STREAM_I3D.model("two_stream_i3d for tests.", tiny=True)
def two_stream_i3d_tiny(num_classes: int) -> TwoStreamI3D:
    return TWO_STREAM_I3D.build(num_classes, divide=8)
