"""A 3D network of the zoo whose last feature maps are looked at box by box.

B clips, T frames, C channels, H W pixels, R boxes, K classes.
"""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from math import ceil, log2
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from kinesphere.clips.modality import MODALITIES
from kinesphere.core.batch_norm import single_clip_norms
from kinesphere.core.errors import InvalidSetting
from kinesphere.models.card import ModelCard, resolved
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.runtime.measure import input_shape
from kinesphere.models.spatiotemporal.box_head import BoxHead, BoxHeadForm

LastStage = Literal["strided", "dense", "dilated"]
"""What becomes of the stride of the last stage: it stays; or it goes, so that maps are twice as fine, with
kernels as they are (as MMAction2's detectors) or reaching twice as far (as PySlowFast's)."""
_MAPS = "B C T H W"


class BoxActions(nn.Module):
    """The actions of people in boxes of a clip.

    Args:
        body: A recogniser whose last layers before its classifier give maps over the clip; it is copied
            without its head.
        classes: K.
        form: Of the head; its `stride_px` is measured here.
        last_stage: See `LastStage`.

    Raises:
        InvalidSetting: If the recogniser sees anything but one clip of pixels, or gives no such maps.
    """

    def __init__(
        self, body: Recogniser, classes: int, form: BoxHeadForm, last_stage: LastStage = "strided"
    ) -> None:
        super().__init__()
        check_body(body.card)
        self.body = deepcopy(body.net)
        for path in body.card.head:
            parent, _, leaf = path.rpartition(".")
            setattr(self.body.get_submodule(parent), leaf, nn.Identity())
        self.layers = tuple(resolved(self.body, layer.path) for layer in body.card.cam_layers)
        if last_stage != "strided":
            for path in self.layers:
                make_dense(self.body.get_submodule(path), body.card.name, dilated=last_stage == "dilated")
        (spec,) = body.specs
        with torch.no_grad():
            training = self.body.training
            maps = self.eval().maps(torch.zeros(input_shape(spec)))
            self.train(training)
        # Of a side of n pixels a map has n / stride, rounded up, and strides are powers of two.
        stride_px = max(2.0 ** ceil(log2(spec.size[i] / maps[0].shape[3 + i])) for i in (0, 1))
        self.form = replace(form, stride_px=stride_px)
        self.head = BoxHead(sum(each.shape[1] for each in maps), classes, self.form)

    def maps(self, clips_BTCHW: Tensor) -> list[Tensor]:
        """`(B, C, T, H, W)` of each pathway; layers behind them do not run."""
        found: dict[str, Tensor] = {}

        def keep(path: str) -> Any:
            def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
                found[path] = output
                if len(found) == len(self.layers):
                    raise _Enough

            return hook

        handles = [self.body.get_submodule(path).register_forward_hook(keep(path)) for path in self.layers]
        try:
            with single_clip_norms(len(clips_BTCHW)) if self.training else nullcontext():
                self.body(clips_BTCHW)
        except _Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return [found[path] for path in self.layers]

    def forward(self, clips_BTCHW: Tensor, rois_R5: Tensor) -> Tensor:
        """Logits `(R, K)`.

        Args:
            clips_BTCHW: Normalised clips.
            rois_R5: Number of the clip, left, top, right, bottom in pixels of its frames.
        """
        logits_RK: Tensor = self.head(self.maps(clips_BTCHW), rois_R5)
        return logits_RK


def check_body(card: ModelCard) -> None:
    """Refuse a model whose features are not maps over a clip of pixels.

    Raises:
        InvalidSetting: If so.
    """
    layouts = {layer.layout for layer in card.cam_layers}
    pixels = MODALITIES.get(card.inputs[0].modality).shows_stills
    if layouts != {_MAPS} or len(card.inputs) != 1 or not pixels:
        raise InvalidSetting(
            f"{card.name} gives no feature maps over a clip of pixels, in which people could be looked at; "
            "take a 3D convolutional network such as slowfast_resnet50, slowonly_resnet50 or kine_small."
        )


def make_dense(stage: nn.Module, name: str, *, dilated: bool) -> None:
    """Take the spatial stride out of a stage; its weights stay as they are.

    Args:
        stage: The last one.
        name: Of the model, for the message.
        dilated: Whether its kernels then reach twice as far.

    Raises:
        InvalidSetting: If it has no stride of two.
    """
    found = False
    for module in stage.modules():
        if not isinstance(module, nn.Conv3d):
            continue
        if module.stride[1:] == (2, 2):
            module.stride = (module.stride[0], 1, 1)
            found = True
        if dilated and module.kernel_size[1:] == (3, 3):
            module.dilation = (module.dilation[0], 2, 2)
            if not isinstance(module.padding, str):
                module.padding = (module.padding[0], 2, 2)
    if not found:
        raise InvalidSetting(
            f"The last stage of {name} has no stride that could go; leave model.last_stage at "
            f"{get_args(LastStage)[0]!r}."
        )


class _Enough(Exception):
    """Leaves a forward pass once all maps are there."""
