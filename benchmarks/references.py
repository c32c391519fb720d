"""The installed networks that ours are held against, and the model of ours that computes the same.

Each reference runs as its package gives it: on contiguous clips `(B, C, T, H, W)`, in fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmarks.peers import declare_torchvision_operators

Package = Literal["torchvision", "pytorchvideo"]
Kind = Literal["3D ResNet", "other"]
MODULES: dict[Package, str] = {
    "torchvision": "torchvision.models.video",
    "pytorchvideo": "pytorchvideo.models.hub",
}


@dataclass(frozen=True)
class Pair:
    """One of our models and its reference.

    Attributes:
        model: Our name.
        package: Where the reference comes from.
        reference: Its builder.
        length: Frames of the clip, as the reference's head wants them.
        size: Height and width of the clip in pixels.
        kind: Whether it counts among the 3D ResNets, for which there is a goal.
        slow_every: For a reference with two pathways: one in so many frames goes to the slow one.
    """

    model: str
    package: Package
    reference: str
    length: int
    size: int
    kind: Kind = "other"
    slow_every: int | None = None

    @property
    def installed(self) -> bool:
        return find_spec(self.package) is not None

    def build(self, seed: int = 0) -> nn.Module:
        """The reference with random weights and batch norms that are not the identity; it gives logits."""
        declare_torchvision_operators()
        options: dict[str, Any] = {"pretrained": False} if self.package == "pytorchvideo" else {}
        torch.manual_seed(seed)
        net: nn.Module = getattr(import_module(MODULES[self.package]), self.reference)(**options).eval()
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                nn.init.normal_(module.running_mean, 0, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.weight, 0.25, 0.75)  # some start at zero and would hide their branch
            if isinstance(getattr(module, "activation", None), nn.Softmax):
                module.activation = None
        return net

    def runner(self, net: nn.Module, clip_BTCHW: Tensor) -> Callable[[], Tensor]:
        """A call of the reference on a clip, laid out as it wants it."""
        arranged = self.arrange(clip_BTCHW)
        return lambda: self.call(net, arranged)

    @staticmethod
    def call(net: nn.Module, arranged: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Logits; networks with pathways want a list, and put their results into it."""
        logits: Tensor = net(list(arranged) if isinstance(arranged, tuple) else arranged)
        return logits

    def arrange(self, clip_BTCHW: Tensor, *, channels_last: bool = False) -> Tensor | tuple[Tensor, ...]:
        """Clips as the reference takes them: `(B, C, T, H, W)`, or slow and fast pathway in this order."""
        layout = torch.channels_last_3d if channels_last else torch.contiguous_format
        plain = clip_BTCHW.transpose(1, 2).contiguous(memory_format=layout)
        if self.slow_every is None:
            return plain
        chosen = torch.linspace(0, self.length - 1, self.length // self.slow_every).long()
        slow = plain.index_select(2, chosen.to(plain.device)).contiguous(memory_format=layout)
        return slow, plain


class HubVideoMAE:
    """VideoMAE of the `transformers` package in the size of `videomae_b`."""

    def build(self) -> nn.Module:
        """The network with random weights and 400 classes."""
        transformers = import_module("transformers")
        torch.manual_seed(0)
        config = transformers.VideoMAEConfig(num_labels=400)
        net: nn.Module = transformers.VideoMAEForVideoClassification(config).eval()
        return net

    @staticmethod
    def call(net: nn.Module, arranged: Tensor) -> Tensor:
        """Logits, which its output holds."""
        logits: Tensor = net(arranged).logits
        return logits

    def arrange(self, clip_BTCHW: Tensor, *, channels_last: bool = False) -> Tensor:
        """Clips as it takes them, time first; its one convolution takes either layout."""
        return clip_BTCHW.contiguous()


def reference_of(model: str) -> Pair | HubVideoMAE | None:
    """The installed network that computes the same as a model of ours, if there is one."""
    if model == "videomae_b":
        return HubVideoMAE() if find_spec("transformers") else None
    pair = next((pair for pair in PAIRS if pair.model == model), None)
    return pair if pair is not None and pair.installed else None


PAIRS = (
    Pair("r3d_18", "torchvision", "r3d_18", 16, 112, "3D ResNet"),
    Pair("mc3_18", "torchvision", "mc3_18", 16, 112, "3D ResNet"),
    Pair("r2plus1d_18", "torchvision", "r2plus1d_18", 16, 112, "3D ResNet"),
    Pair("slowonly_resnet50", "pytorchvideo", "slow_r50", 8, 224, "3D ResNet"),
    Pair("i3d_resnet50", "pytorchvideo", "i3d_r50", 8, 224, "3D ResNet"),
    Pair("c2d_resnet50", "pytorchvideo", "c2d_r50", 8, 224, "3D ResNet"),
    Pair("r2plus1d_slim_50", "pytorchvideo", "r2plus1d_r50", 16, 224, "3D ResNet"),
    Pair("slowfast_resnet50", "pytorchvideo", "slowfast_r50", 32, 224, "3D ResNet", slow_every=4),
    Pair("ir_csn_101", "pytorchvideo", "csn_r101", 32, 224, "3D ResNet"),
    Pair("x3d_xs", "pytorchvideo", "x3d_xs", 4, 160, "3D ResNet"),
    Pair("x3d_s", "pytorchvideo", "x3d_s", 13, 160, "3D ResNet"),
    Pair("x3d_m", "pytorchvideo", "x3d_m", 16, 224, "3D ResNet"),
    Pair("s3d", "torchvision", "s3d", 32, 224),
    Pair("video_swin_t", "torchvision", "swin3d_t", 16, 224),
    Pair("mvit_v2_s", "torchvision", "mvit_v2_s", 16, 224),
    Pair("mvit_v1_b_16x4", "pytorchvideo", "mvit_base_16x4", 16, 224),
)
