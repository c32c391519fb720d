"""Boundary-sensitive network: where actions start and end, and how good a proposal between two places is.

Lin et al.: "BSN: Boundary Sensitive Network for Temporal Action Proposal Generation", ECCV 2018,
https://arxiv.org/abs/1806.02964, section 3. The factors before the sigmoids are those of the public code.

B videos, C numbers of a row, T rows, P proposals.
"""

from __future__ import annotations

from torch import Tensor, nn

from kinesphere.models.weights.keymap import KeyMap, Rename

_SMALL, _MIDDLE = 0.01, 0.1


class BoundaryModule(nn.Module):
    """Probabilities that a row is in an action, at a start and at an end.

    Args:
        features: C.
        width: Channels of the two hidden layers.
    """

    def __init__(self, features: int, width: int = 512) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv1d(features, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, 3, 1),
        )

    def forward(self, x_BCT: Tensor) -> Tensor:
        """`(B, 3, T)`: action, start, end."""
        found: Tensor = (_SMALL * self.convs(x_BCT)).sigmoid()
        return found


class ProposalModule(nn.Module):
    """How well proposals meet an action, by the probabilities at and around their ends.

    Args:
        features: Numbers of a proposal.
        width: Of the hidden layer.
    """

    def __init__(self, features: int = 32, width: int = 256) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x_PC: Tensor) -> Tensor:
        """tIoU expected of each, `(P, 1)`."""
        hidden = (_MIDDLE * self.hidden(x_PC)).relu()
        found: Tensor = (_MIDDLE * self.out(hidden)).sigmoid()
        return found


class BSN(nn.Module):
    """Both modules; each is trained by itself, the second on what the first says.

    Args:
        features: C.
        width: Channels of the hidden layers of the first.
    """

    def __init__(self, features: int, width: int = 512) -> None:
        super().__init__()
        self.boundaries, self.proposals = BoundaryModule(features, width), ProposalModule()


BOUNDARY_KEY_MAP = KeyMap(
    "mmaction2",
    (
        Rename("conv1.*", "convs.0.*"),
        Rename("conv2.*", "convs.2.*"),
        Rename("conv3.*", "convs.4.*"),
    ),
)
PROPOSAL_KEY_MAP = KeyMap("mmaction2", (Rename("fc1.*", "hidden.*"), Rename("fc2.*", "out.*")))
