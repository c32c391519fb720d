"""A fully connected network over the flattened clip: the baseline that every other model must beat.

Our own; no paper. It sees a few small frames as one long vector, so it knows neither space nor time.

B batch, T time, C channels, H W pixels.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from kinesphere.clips.spec import ClipSpec, Sampling
from kinesphere.models.contracts import fit_length_and_size
from kinesphere.models.family import Family


class FullyConnected(nn.Module):
    """Two hidden layers with dropout over a clip of fixed length and size.

    Args:
        num_classes: Number of outputs K.
        width: Width of the hidden layers.
        dropout: Fraction of hidden units dropped in training.
        length: Frames T of the input.
        size_px: Height and width of the input.
    """

    def __init__(
        self, num_classes: int, width: int = 256, dropout: float = 0.5, length: int = 8, size_px: int = 32
    ) -> None:
        super().__init__()
        self.hidden1 = nn.Sequential(
            nn.Linear(length * 3 * size_px * size_px, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True)
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


FAMILY = Family(
    name="fc",
    paper=None,
    network=FullyConnected,
    inputs=(ClipSpec(Sampling("uniform", 8), size=(32, 32)),),
    tiny_inputs=(ClipSpec(Sampling("uniform", 4), size=(8, 8)),),
    stages=("hidden1", "hidden2"),
    explanation="integrated_gradients",
    classes=10,
    fit=partial(fit_length_and_size, side="size_px"),
    fixed_length=True,
    fixed_size=True,
    notes="Takes exactly this length and size: every pixel has its own weights.",
)
SUMMARY = "Fully connected network over the flattened clip; a baseline without space or time."


@FAMILY.model(SUMMARY)
def fc(num_classes: int) -> FullyConnected:
    return FAMILY.build(num_classes)


@FAMILY.model(SUMMARY, classes=10, tiny=True)
def fc_tiny(num_classes: int) -> FullyConnected:
    return FAMILY.build(num_classes, length=4, size_px=8, width=16)
