"""Frame encoders followed by an LSTM.

Donahue, Hendricks, Guadarrama, Rohrbach, Venugopalan, Saenko, Darrell: "Long-term Recurrent Convolutional
Networks for Visual Recognition and Description", CVPR 2015, https://arxiv.org/abs/1411.4389,
sections 3 and 4.

B batch, T time, C channels, H W pixels, D features.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import CamLayer
from kinesphere.models.contracts import MEAN, STD
from kinesphere.models.family import Family
from kinesphere.models.layers.resnet2d import BACKBONE_STAGES, TINY_DEPTH, ResNet2d
from kinesphere.models.papers import cite
from kinesphere.models.runtime.framewise import through_features
from kinesphere.models.weights.keymap import Ignore, KeyMap, Rename


class SmallCNN(nn.Module):
    """Frames `(N, 3, H, W)` to features `(N, outputs)`: four strided convolutions, global average."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = (3, width, 2 * width, 4 * width, 8 * width)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                nn.Conv2d(channels[i], channels[i + 1], 3, 2, 1, bias=False),
                nn.BatchNorm2d(channels[i + 1]),
                nn.ReLU(inplace=True),
            )
            for i in range(4)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.outputs = channels[-1]

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(x_NCHW))))
        features_NC: Tensor = self.avgpool(x).flatten(1)
        return features_NC


class Memory(nn.Module):
    """One LSTM over frame features `(B, T, D)`; its outputs become `(B, outputs)`.

    Args:
        inputs: Feature size D.
        hidden: LSTM units per direction.
        bidirectional: Whether a second LSTM reads the clip backwards.
        output: `"last"` state of each direction, or `"mean"` over time (section 4.1 averages over steps).
    """

    def __init__(self, inputs: int, hidden: int, bidirectional: bool, output: str) -> None:
        super().__init__()
        if output not in ("last", "mean"):
            raise InvalidSetting(f"The output of the LSTM is 'last' or 'mean'; got {output!r}.")
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=bidirectional)
        self.output = output
        self.outputs = hidden * (2 if bidirectional else 1)

    def forward(self, x_BTD: Tensor) -> Tensor:
        steps_BTD, (last_LBD, _) = self.lstm(x_BTD)
        out_BD: Tensor = steps_BTD.mean(1) if self.output == "mean" else last_LBD.transpose(0, 1).flatten(1)
        return out_BD


class RecurrentNet(nn.Module):
    """Encode every frame, read the sequence, classify."""

    snippet = 1

    def __init__(
        self, num_classes: int, backbone: SmallCNN | ResNet2d, hidden: int, bidirectional: bool, output: str
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.memory = Memory(backbone.outputs, hidden, bidirectional, output)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(self.memory.outputs, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return through_features(self, x_BTCHW)

    def frame_features(self, x_NCHW: Tensor) -> Tensor:
        """Features `(N, D)` of frames; see `FrameWise`."""
        features_ND: Tensor = self.backbone(x_NCHW)
        return features_ND

    def from_features(self, f_BTD: Tensor) -> Tensor:
        """Logits `(B, K)`; see `FrameWise`."""
        logits_BK: Tensor = self.fc(self.dropout(self.memory(f_BTD)))
        return logits_BK


SMALL_SPEC = ClipSpec(Sampling("uniform", 16), size=(112, 112), short_side_px=128)
RESNET_SPEC = ClipSpec(Sampling("uniform", 16), size=(224, 224), short_side_px=256, mean=MEAN, std=STD)
PROPERTIES = "No public weights of the whole; tests hold the paper's properties. "
BACKBONE_MAPS = (
    KeyMap(
        "torchvision",
        (Ignore("fc.*", "the classifier of ImageNet"), Rename("*", "backbone.*")),
        backbone_only=True,
    ),
)


STAGES = (*BACKBONE_STAGES[1:], "memory")
TINY_INPUTS = (SMALL_SPEC.with_(sampling=Sampling("uniform", 4), size=(64, 64), short_side_px=72),)


def on_small_cnn(
    num_classes: int, *, width: int = 32, hidden: int = 256, bidirectional: bool = False, output: str = "last"
) -> RecurrentNet:
    return RecurrentNet(num_classes, SmallCNN(width), hidden, bidirectional, output)


def on_resnet(
    num_classes: int,
    *,
    depth: int,
    width: int = 64,
    hidden: int = 512,
    bidirectional: bool = False,
    output: str = "last",
) -> RecurrentNet:
    return RecurrentNet(num_classes, ResNet2d(depth, width=width), hidden, bidirectional, output)


SMALL = Family(
    name="recurrent",
    paper=cite("1411.4389", "3–4"),
    network=on_small_cnn,
    inputs=(SMALL_SPEC,),
    tiny_inputs=TINY_INPUTS,
    stages=STAGES,
    frame_wise=True,
    cam_layers=(CamLayer("backbone.layer4", "BT C H W"),),
    classes=10,
    notes=PROPERTIES + "A four-layer CNN in place of the paper's CaffeNet.",
)
RESNET = SMALL.of(on_resnet, inputs=(RESNET_SPEC,), key_maps=BACKBONE_MAPS, notes="")


@SMALL.model("Small frame CNN with an LSTM over time; trains on a laptop.")
def cnn_lstm(num_classes: int) -> RecurrentNet:
    return SMALL.build(num_classes)


@RESNET.model(
    "ResNet-50 on every frame with an LSTM over time.",
    notes=PROPERTIES + "ResNet-50 in place of the paper's CaffeNet.",
)
def resnet50_lstm(num_classes: int) -> RecurrentNet:
    return RESNET.build(num_classes, depth=50)


@RESNET.model(
    "ResNet-152 on every frame with an LSTM over time, predictions averaged over steps.",
    notes=PROPERTIES + "ResNet-152 in place of the paper's CaffeNet; averages LSTM states before the "
    "classifier, which equals averaging its logits.",
)
def lrcn_resnet152(num_classes: int) -> RecurrentNet:
    return RESNET.build(num_classes, depth=152, output="mean")


@SMALL.model("cnn_lstm for tests.", classes=10, tiny=True)
def cnn_lstm_tiny(num_classes: int) -> RecurrentNet:
    return SMALL.build(num_classes, width=4, hidden=16)


@RESNET.model("resnet50_lstm for tests.", classes=10, tiny=True)
def resnet_lstm_tiny(num_classes: int) -> RecurrentNet:
    return RESNET.build(num_classes, depth=TINY_DEPTH, width=16, hidden=16, bidirectional=True, output="mean")
