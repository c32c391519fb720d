"""TemporalMaxer: a pyramid of steps by max-pooling alone.

Tang, Kim, Sohn: "TemporalMaxer: Maximize Temporal Context with only Max Pooling for Temporal Action
Localization", 2023, https://arxiv.org/abs/2303.09055, section 3.
"""

from __future__ import annotations

import torch.nn.functional as F

from kinesphere.models.temporal.layers import EPS, Steps
from kinesphere.models.temporal.public import EMBEDDING_RULES, HEADS_RULES
from kinesphere.models.temporal.pyramid import Plain
from kinesphere.models.weights.keymap import KeyMap

GROUPS = 4


class TemporalMaxer(Plain):
    """See the module; the defaults are those for THUMOS14.

    The norm of a level is over all its steps, those that are padded included, as the authors' is: answers
    depend a little on the padded length.

    Args:
        features: Numbers of a row of features.
        classes: K.
        width: Channels throughout.
        levels: Number of levels.
    """

    def __init__(self, features: int, classes: int, width: int = 512, levels: int = 6) -> None:
        super().__init__(features, classes, width, levels)

    def pyramid(self, steps: Steps) -> list[Steps]:
        """See `Plain.pyramid`."""
        found = [steps]
        for _ in range(self.levels - 1):
            mask = found[-1].every(2)
            pooled = F.max_pool1d(found[-1].x, 3, 2, 1)
            found.append(Steps(pooled * mask.unsqueeze(1).to(pooled.dtype), mask))
        return [Steps(F.group_norm(each.x, GROUPS, eps=EPS), each.mask) for each in found]


KEY_MAP = KeyMap("temporalmaxer", (*EMBEDDING_RULES, *HEADS_RULES))
