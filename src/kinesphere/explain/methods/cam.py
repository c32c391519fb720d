"""Class-activation maps: which cells of a layer speak for the class.

N is what the layer sees as one image or clip (frames and people that are folded into the batch stay apart), C
channels, A activations, g gradients of the score to them.

Of several pathways of one input, each map is brought to the finest cells of all, what a cell has being
divided among the finer ones that it covers, and the maps are added: a pathway's map is its part of the score,
cell by cell, so their sum stays on the score's scale, and none of them is stretched. Several inputs have maps
of their own, on the same scale. Nothing is normalised, so that a map without evidence is empty.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from kinesphere.explain.centres import offset_of
from kinesphere.explain.geometry import TILES, Offset
from kinesphere.explain.grids import about_the_centre, at_joints, on_frames, spread
from kinesphere.explain.layers import Seen, chosen, look
from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.target import Scored
from kinesphere.models import Recogniser

Heat = tuple[Tensor | None, ...]


class Cam(Method):
    """A map over the cells of the card's layers, `CamLayer`, or of the one in `Settings.layer`."""

    def refusal(self, recogniser: Recogniser) -> str | None:
        """See `Method.refusal`: networks without a layer whose activations lie on the clip have no map."""
        if recogniser.card.cam_layers:
            return None
        return (
            f"{recogniser.card.name} has no layer whose activations lie on a grid over the clip, so "
            f"{self.name} is not defined. Use integrated_gradients, occlusion or rise instead."
        )

    @abstractmethod
    def weigh(self, a_NC: Tensor, g_NC: Tensor) -> Tensor:
        """The map `(N, *cells)` of activations and gradients `(N, C, *cells)`."""

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`; `batch` clips at a time."""
        layers = chosen(scored.recogniser, settings.layer)
        parts = []
        for clips in zip(*(x.split(settings.batch) for x in inputs), strict=True):
            seen = look(scored, clips, layers)
            parts.append([self._of_input(i, x, seen) for i, x in enumerate(clips)])
        columns = zip(*parts, strict=True)
        return tuple(
            None if column[0] is None else torch.cat([part for part in column if part is not None])
            for column in columns
        )

    def offsets(
        self, recogniser: Recogniser, inputs: tuple[Tensor, ...], settings: Settings
    ) -> tuple[Offset, ...]:
        """See `Method.offsets`: of pathways whose cells lie differently, at the centres of tiles."""
        layers = chosen(recogniser, settings.layer)
        found = []
        for index in range(len(inputs)):
            own = {offset_of(recogniser.net, layer, inputs) for layer in layers if layer.input == index}
            found.append(own.pop() if len(own) == 1 else TILES)
        return tuple(found)

    def _of_input(self, index: int, x: Tensor, seen: list[Seen]) -> Tensor | None:
        maps = [self._map(layer, x) for layer in seen if layer.layer.input == index]
        if not maps:
            return None
        finest = tuple(max(sizes) for sizes in zip(*(each.shape[1:] for each in maps), strict=True))
        return torch.stack([spread(each, finest) for each in maps]).sum(0)

    def _map(self, seen: Seen, x: Tensor) -> Tensor:
        cells = seen.layout.cells(self.weigh(seen.activations, seen.gradients))
        if seen.layer.centre:
            cells = about_the_centre(cells)
        if seen.layer.heatmaps:
            return at_joints(cells, x)
        return on_frames(cells, x) if "M" in seen.layout.text else cells


class ActivationMap(Cam):
    """How strongly a cell excites the layer, whatever the class: the mean of |A| over channels.

    Zagoruyko, Komodakis: "Paying More Attention to Attention", ICLR 2017, https://arxiv.org/abs/1612.03928,
    section 3.1.
    """

    name = "activation_map"
    summary = "How strongly each cell excites the layer, whatever the class (Zagoruyko, Komodakis 2017)."
    by_class = False

    def weigh(self, a_NC: Tensor, g_NC: Tensor) -> Tensor:
        return a_NC.abs().mean(1)


class GradCam(Cam):
    """ReLU(Σ_k w_k A_k), w_k the mean of g_k over the cells.

    Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", ICCV 2017, https://arxiv.org/abs/1610.02391, section 3.
    """

    name = "gradcam"
    summary = (
        "Cells whose channels speak for the class, by the mean gradient of each (Selvaraju et al. 2017)."
    )

    def weigh(self, a_NC: Tensor, g_NC: Tensor) -> Tensor:
        weights = g_NC.flatten(2).mean(2)
        return _combined(weights, a_NC)


class GradCamPlusPlus(Cam):
    """ReLU(Σ_k w_k A_k), w_k the sum of α ReLU(g) over the cells, α = g² / (2 g² + g³ Σ A_k).

    Chattopadhay, Sarkar, Howlader, Balasubramanian: "Grad-CAM++: Generalized Gradient-based Visual
    Explanations for Deep Convolutional Networks", WACV 2018, https://arxiv.org/abs/1710.11063, section 3,
    equations 11 and 19 (for an exponential of the score, so that its derivatives are powers of g).
    """

    name = "gradcam++"
    summary = "Grad-CAM whose cells count by how far each raises the score (Chattopadhay et al. 2018)."
    TINY = 1e-6
    """Added to the denominator, as public code does."""

    def weigh(self, a_NC: Tensor, g_NC: Tensor) -> Tensor:
        a, g = a_NC.flatten(2), g_NC.flatten(2)
        alpha = g**2 / (2 * g**2 + a.sum(2, keepdim=True) * g**3 + self.TINY)
        return _combined((g.relu() * torch.where(g != 0, alpha, 0.0)).sum(2), a_NC)


class LayerCam(Cam):
    """ReLU(Σ_k ReLU(g_k) A_k), cell by cell.

    Jiang, Zhang, Hou, Cheng, Wei: "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
    TIP 2021, section III.B.
    """

    name = "layercam"
    summary = "Cells whose own activations raise the score; sharp in early layers too (Jiang et al. 2021)."

    def weigh(self, a_NC: Tensor, g_NC: Tensor) -> Tensor:
        return (g_NC.relu() * a_NC).sum(1).relu()


def _combined(weights_NC: Tensor, a_NC: Tensor) -> Tensor:
    """ReLU(Σ_k w_k A_k), `(N, *cells)`."""
    return torch.einsum("nc,nc...->n...", weights_NC, a_NC).relu()


METHODS.add(ActivationMap.name, ActivationMap())
METHODS.add(GradCam.name, GradCam())
METHODS.add(GradCamPlusPlus.name, GradCamPlusPlus())
METHODS.add(LayerCam.name, LayerCam())
