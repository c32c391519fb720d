"""Masked autoencoder over tubelets: what VideoMAE is pre-trained with around the encoder of a recogniser.

Tong, Song, Wang, Wang: "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video
Pre-Training", NeurIPS 2022, https://arxiv.org/abs/2203.12602, section 3: places are masked in all frames
alike (tubes), the encoder sees the visible tokens alone, and a narrow decoder restores the masked ones.

B batch, T time, C channels, H W pixels, L tokens of which M are masked, D width, P numbers of a token's
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kinesphere.core.errors import InvalidSetting
from kinesphere.models.layers.vit import Block, initialise
from kinesphere.models.zoo.videomae import VideoMAE, sinusoid

_EPS = 1e-6
"""Added to the deviation by which pixels of a token are divided."""


def tubelet_encoder(net: nn.Module, name: str) -> VideoMAE:
    """The network of a model, if it is one that masked tubes can be filled in with.

    Raises:
        InvalidSetting: If it is not.
    """
    if not isinstance(net, VideoMAE):
        raise InvalidSetting(
            f"{name} does not leave masked tubes out; take a model of the videomae family, or "
            "pretrain.method=contrastive, which works for all."
        )
    return net


def tube_mask(
    batch: int, grid: tuple[int, int, int], fraction: float, generator: torch.Generator | None = None
) -> Tensor:
    """Which tokens are masked, bool `(B, L)`: of each clip the same places at all times.

    Args:
        batch: Number of clips.
        grid: Tokens along time, rows and columns.
        fraction: Of the places; rounded down as in the authors' code, but at least one is masked and one
            seen.
        generator: On the CPU; None takes torch's own.
    """
    times, rows, columns = grid
    places = rows * columns
    count = min(max(1, int(fraction * places)), places - 1)
    order = torch.rand(batch, places, generator=generator).argsort(1)
    return (order < count).repeat(1, times)


def tokens_of(pixels_BTCHW: Tensor, tubelet: int, patch: int) -> Tensor:
    """Pixels by token, `(B, L, P / C, C)`: a token's numbers by frame, row and column."""
    batch, time, channels, height, width = pixels_BTCHW.shape
    cut = pixels_BTCHW.reshape(
        batch, time // tubelet, tubelet, channels, height // patch, patch, width // patch, patch
    )
    return cut.permute(0, 1, 4, 6, 2, 5, 7, 3).reshape(batch, -1, tubelet * patch**2, channels)


def pixels_of(tokens_BLPC: Tensor, grid: tuple[int, int, int], tubelet: int, patch: int) -> Tensor:
    """Inverse of `tokens_of`: `(B, T, C, H, W)`."""
    times, rows, columns = grid
    cut = tokens_BLPC.reshape(len(tokens_BLPC), times, rows, columns, tubelet, patch, patch, -1)
    ordered = cut.permute(0, 1, 4, 7, 2, 5, 3, 6)
    return ordered.reshape(len(tokens_BLPC), times * tubelet, -1, rows * patch, columns * patch)


def normalised(tokens_BLPC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of tokens less their mean by their deviation, channel by channel; with both, `(B, L, 1, C)`.

    `tokens * deviation + mean` restores them.
    """
    mean = tokens_BLPC.mean(2, keepdim=True)
    deviation = tokens_BLPC.var(2, unbiased=True, keepdim=True).sqrt() + _EPS
    return (tokens_BLPC - mean) / deviation, mean, deviation


class MaskedTubes(nn.Module):
    """Decoder and loss around an encoder, which stays that of its recogniser.

    Args:
        encoder: Embeds and transforms; not owned, so that it is not among this module's parameters.
        mean, std: By which the encoder's inputs are normalised, a number for each channel.
        width, depth, heads: Of the decoder.
        ratio: Width of the decoder's perceptrons by its width.
        eps: Of the norm behind the encoder and of those in the decoder's blocks.

    Raises:
        InvalidSetting: If the decoder's width is not that of so many heads.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: VideoMAE,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        width: int,
        depth: int,
        heads: int,
        ratio: int = 4,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self._encoder = (encoder,)
        projection = encoder.embed.tubelets.proj
        inner = projection.out_channels
        self.tubelet, self.patch = projection.kernel_size[0], projection.kernel_size[1]
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.encoder_norm = nn.LayerNorm(inner, eps)
        self.to_decoder = nn.Linear(inner, width, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.Sequential(
            *(Block(width, heads, eps=eps, key_bias=False, ratio=ratio) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.tubelet * self.patch**2 * projection.in_channels)
        initialise(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def grid(self, x_BTCHW: Tensor) -> tuple[int, int, int]:
        """Tokens of a clip along time, rows and columns."""
        return self._encoder[0].embed.tubelets.grid(x_BTCHW)

    def forward(self, x_BTCHW: Tensor, mask_BL: Tensor) -> Tensor:
        """What the masked tokens show, normalised, `(B, M, P)`, in their order.

        Args:
            x_BTCHW: Normalised clips.
            mask_BL: Bool, true where masked; of as many tokens in every clip.
        """
        encoder, batch = self._encoder[0], len(x_BTCHW)
        tokens = encoder.embed(x_BTCHW)
        visible = tokens[~mask_BL].reshape(batch, -1, tokens.shape[-1])
        seen = self.to_decoder(self.encoder_norm(encoder.blocks(visible)))
        width = seen.shape[-1]
        positions = sinusoid(mask_BL.shape[1], width).to(seen).expand(batch, -1, -1)
        hidden = self.mask_token + positions[mask_BL].reshape(batch, -1, width)
        whole = torch.cat((seen + positions[~mask_BL].reshape(batch, -1, width), hidden), 1)
        out: Tensor = self.head(self.norm(self.blocks(whole)[:, -hidden.shape[1] :]))
        return out

    def targets(self, x_BTCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of every token the pixels from 0 to 1, normalised, with mean and deviation; see `normalised`."""
        return normalised(tokens_of(x_BTCHW * self.std + self.mean, self.tubelet, self.patch))

    def loss(self, x_BTCHW: Tensor, mask_BL: Tensor) -> Tensor:
        """Mean square of the errors over the masked tokens."""
        target = self.targets(x_BTCHW)[0].flatten(2)
        masked = target[mask_BL].reshape(len(x_BTCHW), -1, target.shape[-1])
        found: Tensor = self(x_BTCHW, mask_BL)
        return (found.float() - masked).square().mean()

    @torch.no_grad()
    def restored(self, x_BTCHW: Tensor, mask_BL: Tensor) -> Tensor:
        """Clips of pixels from 0 to 1 `(B, T, C, H, W)` whose masked tokens are as filled in."""
        target, mean, deviation = self.targets(x_BTCHW)
        filled = target.clone()
        filled[mask_BL] = self(x_BTCHW, mask_BL).to(filled).reshape(-1, *target.shape[2:])
        return pixels_of(filled * deviation + mean, self.grid(x_BTCHW), self.tubelet, self.patch)
