"""UniFormer: convolutions look around nearby in the early stages, self-attention everywhere in the late ones.

Li, Wang, Gao, Song, Liu, Li, Qiao: "UniFormer: Unified Transformer for Efficient Spatiotemporal
Representation Learning", ICLR 2022, https://arxiv.org/abs/2201.04676, section 3 and table 10.

B batch, T time, C channels, H W positions, N all positions of a clip, K classes.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import CamLayer
from kinesphere.models.family import Family
from kinesphere.models.layers.stochastic_depth import StochasticDepth, rising_rates
from kinesphere.models.layers.vit import Attention, Mlp
from kinesphere.models.papers import cite
from kinesphere.models.weights.keymap import KeyMap, Rename

Size3 = tuple[int, int, int]


def around(width: int, size: int) -> nn.Conv3d:
    """A depth-wise convolution over `size` positions in time, height and width."""
    return nn.Conv3d(width, width, size, padding=size // 2, groups=width)


class PatchEmbedding(nn.Module):
    """Neighbouring patches become one position each; layer norm over the channels."""

    def __init__(self, inputs: int, outputs: int, kernel: Size3, stride: Size3) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(outputs)
        self.proj = nn.Conv3d(inputs, outputs, kernel, stride, (kernel[0] // 2, 0, 0))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        out: Tensor = self.norm(self.proj(x_BCTHW).movedim(1, -1))
        return out.movedim(-1, 1)


class LocalMLP(nn.Module):
    """Two layers on each position, as 1×1×1 convolutions."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(width, hidden, 1)
        self.act = nn.GELU()
        self.fc2 = nn.Conv3d(hidden, width, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x_BCTHW)))
        return out


class LocalBlock(nn.Module):
    """Position encoding, local relations among 5×5×5 neighbours, two layers (section 3.2, equation 6)."""

    def __init__(self, width: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = around(width, 3)
        self.norm1 = nn.BatchNorm3d(width)
        self.conv1 = nn.Conv3d(width, width, 1)
        self.attn = around(width, 5)
        self.conv2 = nn.Conv3d(width, width, 1)
        self.norm2 = nn.BatchNorm3d(width)
        self.mlp = LocalMLP(width, mlp_ratio * width)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x = x_BCTHW + self.pos_embed(x_BCTHW)
        x = x + self.drop_path(self.conv2(self.attn(self.conv1(self.norm1(x)))))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class GlobalBlock(nn.Module):
    """Position encoding, self-attention over time and space at once, two layers (equation 7)."""

    def __init__(self, width: int, head_width: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = around(width, 3)
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, width // head_width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio * width)
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x = x_BCTHW + self.pos_embed(x_BCTHW)
        x_BNC = x.flatten(2).transpose(1, 2)
        x_BNC = x_BNC + self.drop_path(self.attn(self.norm1(x_BNC)))
        x_BNC = x_BNC + self.drop_path(self.mlp(self.norm2(x_BNC)))
        out: Tensor = x_BNC.transpose(1, 2).unflatten(2, x.shape[2:])
        return out


class UniFormer(nn.Module):
    """Four stages of patch embedding and blocks, the first two local, global average, linear classifier.

    Args:
        num_classes: Number of outputs K.
        depths: Blocks per stage.
        widths: Channels per stage.
        head_width: Channels of a head of attention.
        mlp_ratio: Width of a block's middle layer over its own.
        drop_path: Rate of stochastic depth of the last block; it rises linearly from 0.
        dropout: Before the classifier.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        depths: tuple[int, int, int, int],
        widths: tuple[int, int, int, int] = (64, 128, 320, 512),
        head_width: int = 64,
        mlp_ratio: int = 4,
        drop_path: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        rates = iter(rising_rates(drop_path, sum(depths)))
        stages = []
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if i == 0:
                embedding = PatchEmbedding(3, width, (3, 4, 4), (2, 4, 4))
            else:
                embedding = PatchEmbedding(widths[i - 1], width, (1, 2, 2), (1, 2, 2))
            block = LocalBlock if i < 2 else partial(GlobalBlock, head_width=head_width)
            blocks = [block(width, mlp_ratio=mlp_ratio, drop_path=next(rates)) for _ in range(depth)]
            stages.append(nn.Sequential(embedding, *blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.norm = nn.BatchNorm3d(widths[3])
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.layer2(self.layer1(x_BTCHW.transpose(1, 2)))
        x = self.norm(self.layer4(self.layer3(x)))
        logits_BK: Tensor = self.fc(self.dropout(x.mean((2, 3, 4))))
        return logits_BK


SPEC = ClipSpec(Sampling("dense", 16, 4), size=(224, 224), short_side_px=224)
MMACTION2 = KeyMap(
    "mmaction2",
    (
        Rename("backbone.patch_embed{s}.*", "layer{s}.0.*"),
        Rename("backbone.blocks{s}.{b}.*", "layer{s}.{b+1}.*"),
        Rename("backbone.norm.*", "norm.*"),
        Rename("cls_head.fc_cls.*", "fc.*"),
    ),
)


UNIFORMER = Family(
    name="uniformer",
    paper=cite("2201.04676", "3, table 10"),
    network=UniFormer,
    inputs=(SPEC,),
    tiny_inputs=(SPEC.with_(sampling=Sampling("dense", 8), size=(32, 32), short_side_px=32),),
    stages=("layer1", "layer2", "layer3", "layer4"),
    cam_layers=(CamLayer("layer4", "B C T H W"),),
    explanation="layercam",
    key_maps=(MMACTION2,),
)


@UNIFORMER.model("Convolution, then attention, small: 18 blocks.")
def uniformer_s(num_classes: int) -> UniFormer:
    return UNIFORMER.build(num_classes, depths=(3, 4, 8, 3), drop_path=0.1)


@UNIFORMER.model("Convolution, then attention, base: 40 blocks.")
def uniformer_b(num_classes: int) -> UniFormer:
    return UNIFORMER.build(num_classes, depths=(5, 8, 20, 7), drop_path=0.3)


@UNIFORMER.model("uniformer for tests.", tiny=True)
def uniformer_tiny(num_classes: int) -> UniFormer:
    return UNIFORMER.build(num_classes, depths=(1, 1, 2, 1), widths=(8, 16, 32, 64), head_width=16)
