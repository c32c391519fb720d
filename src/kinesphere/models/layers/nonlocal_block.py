"""The non-local block: every position attends to every other, in space and time.

Wang, Girshick, Gupta, He: "Non-local Neural Networks", CVPR 2018, https://arxiv.org/abs/1711.07971,
sections 3.2 and 3.3.

B batch, C channels, T time, H W pixels, N positions that ask, M positions that answer.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

Pairwise = Literal["gaussian", "embedded_gaussian", "dot_product"]


class NonLocalBlock(nn.Module):
    """`z = x + W y`, where y gathers from all positions what their pairwise affinity lets through.

    Args:
        channels: Channels of input and output; half as many inside.
        pairwise: Affinity of two positions: softmax of their dot product (`gaussian`), the same of
            embeddings (`embedded_gaussian`), or the embeddings' dot product over M (`dot_product`).
        pool: Max-pooling (T, H, W) of the positions that answer (section 3.3).
        pool_first: Whether to pool before embedding those positions instead of after.
        scaled: Whether to divide embeddings' products by the square root of their width before softmax.
        out_bias: Whether the last convolution, before batch norm, has a bias too.
    """

    def __init__(
        self,
        channels: int,
        *,
        pairwise: Pairwise = "embedded_gaussian",
        pool: tuple[int, int, int] = (1, 2, 2),
        pool_first: bool = False,
        scaled: bool = False,
        out_bias: bool = False,
    ) -> None:
        super().__init__()
        width = channels // 2
        self.pairwise = pairwise
        self.pool_first = pool_first
        self.scale = width**-0.5 if scaled else 1.0
        self.pool = nn.MaxPool3d(pool, pool)
        self.g = nn.Conv3d(channels, width, 1)
        self.theta: nn.Module = nn.Identity()
        self.phi: nn.Module = nn.Identity()
        if pairwise != "gaussian":
            self.theta = nn.Conv3d(channels, width, 1)
            self.phi = nn.Conv3d(channels, width, 1)
        self.out = nn.Conv3d(width, channels, 1, bias=out_bias)
        self.bn = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.bn.weight)  # a fresh block is the identity (section 4.1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        theta = self.theta(x_BCTHW)
        if self.pool_first:
            pooled = self.pool(x_BCTHW)
            phi, g = self.phi(pooled), self.g(pooled)
        else:
            phi, g = self.pool(self.phi(x_BCTHW)), self.pool(self.g(x_BCTHW))
        theta_BNC, phi_BMC, g_BMC = (part.flatten(2).transpose(1, 2) for part in (theta, phi, g))
        if self.pairwise == "dot_product":
            # (theta phi') g = theta (phi' g): linear instead of quadratic in the number of positions
            y_BNC = theta_BNC @ (phi_BMC.transpose(1, 2) @ g_BMC) / phi_BMC.shape[1]
        else:
            y_BNC = scaled_dot_product_attention(theta_BNC, phi_BMC, g_BMC, scale=self.scale)
        y = y_BNC.transpose(1, 2).reshape(g.shape[:2] + x_BCTHW.shape[2:])
        out: Tensor = x_BCTHW + self.bn(self.out(y))
        return out
