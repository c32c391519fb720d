"""A fully connected network over the flattened clip: the baseline that every other model must beat.

Our own; no paper. It sees a few small frames as one long vector, so it knows neither space nor time.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.card import ModelCard
from kinesphere.models.registry import register


class FullyConnected(nn.Module):
    """Two hidden layers with dropout over a clip of fixed length and size."""

    def __init__(self, num_classes: int, length: int, size: int, width: int, dropout: float) -> None:
        super().__init__()
        self.hidden1 = nn.Sequential(
            nn.Linear(length * 3 * size * size, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True)
        )
        self.hidden2 = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        x = self.hidden2(self.hidden1(x_BTCHW.flatten(1)))
        logits_BK: Tensor = self.fc(self.dropout(x))
        return logits_BK


def fc_card(
    name: str, length: int, size: int, parameters: int, multiply_adds: int, *, tiny: bool
) -> ModelCard:
    return ModelCard(
        name=name,
        family="fc",
        summary="Fully connected network over the flattened clip; a baseline without space or time.",
        paper=None,
        inputs=(ClipSpec(Sampling("uniform", length), size=(size, size)),),
        parameters=parameters,
        multiply_adds=multiply_adds,
        classes=10,
        head=("fc",),
        stages=("hidden1", "hidden2"),
        tiny=tiny,
        fixed_length=True,
        fixed_size=True,
        notes="Takes exactly this length and size: every pixel has its own weights.",
    )


@register(fc_card("fc", 8, 32, 6_361_098, 6_359_552, tiny=False))
def fc(num_classes: int, width: int = 256, dropout: float = 0.5) -> nn.Module:
    return FullyConnected(num_classes, 8, 32, width, dropout)


@register(fc_card("fc_tiny", 4, 8, 12_810, 12_704, tiny=True))
def fc_tiny(num_classes: int, width: int = 16, dropout: float = 0.5) -> nn.Module:
    return FullyConnected(num_classes, 4, 8, width, dropout)
