"""Guided Grad-CAM: where Grad-CAM sees evidence, at the resolution of pixels."""

from __future__ import annotations

from torch import Tensor

from kinesphere.explain.geometry import fill_cells
from kinesphere.explain.method import METHODS, Method, Settings
from kinesphere.explain.methods.cam import GradCam, Heat
from kinesphere.explain.methods.gradients import GuidedBackpropagation
from kinesphere.explain.target import Scored
from kinesphere.models import Recogniser


class GuidedGradCam(Method):
    """Grad-CAM, interpolated to pixels, times guided backpropagation.

    Selvaraju et al. 2017 (`GradCam`), section 3.2.
    """

    name = "guided_gradcam"
    summary = "Edges and textures where Grad-CAM sees evidence for the class (Selvaraju et al. 2017)."

    def __init__(self) -> None:
        self.cam, self.guided = GradCam(), GuidedBackpropagation()

    def refusal(self, recogniser: Recogniser) -> str | None:
        """See `Method.refusal`: where one of the two is not defined, their product is not."""
        return self.cam.refusal(recogniser) or self.guided.refusal(recogniser)

    def heat(self, scored: Scored, inputs: tuple[Tensor, ...], settings: Settings) -> Heat:
        """See `Method.heat`."""
        coarse = self.cam.heat(scored, inputs, settings)
        fine = self.guided.heat(scored, inputs, settings)
        offsets = self.cam.offsets(scored.recogniser, inputs, settings)
        return tuple(
            None
            if a is None or b is None
            else fill_cells(a, (b.shape[1], b.shape[2], b.shape[3]), offset) * b
            for a, b, offset in zip(coarse, fine, offsets, strict=True)
        )


METHODS.add(GuidedGradCam.name, GuidedGradCam())
