"""The sections of a recipe about clips without labels: settings alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from kinesphere.clips.augment.settings import Augment
from kinesphere.train.config import Count, Positive, Section, as_tuple

UnlabelledMethod = Literal["fixmatch"]
PretrainMethod = Literal["masked_tubes", "contrastive"]

STRONG = Augment(
    preset="strong", mixup=0.0, cutmix=0.0, joint_turn_deg=20.0, joint_scale=0.2, joint_jitter=0.02,
    joint_dropout=0.1,
)  # fmt: skip


def _refuse_pretraining(method: Any) -> Any:
    """The method, if it is not one that learns before the labels."""
    if method in get_args(PretrainMethod):
        raise ValueError(f"{method} learns without labels before training; write pretrain.method={method}")
    return method


def _refuse_semi_supervised(method: Any) -> Any:
    """The method, if it is not one that learns beside the labels."""
    if method in get_args(UnlabelledMethod):
        raise ValueError(f"{method} learns beside clips with labels; write unlabelled.method={method}")
    return method


class UnlabelledSection(Section):
    """Learning from clips without labels beside those with labels."""

    method: Annotated[UnlabelledMethod | None, BeforeValidator(_refuse_pretraining)] = None
    """Method: `fixmatch` (Sohn et al. 2020) has the answer to a weakly augmented view, where it is sure,
    learnt from a strongly augmented view of the same time. The weak view is augmented as `augment` says. The
    averaged weights (`train.ema`, then 0.999 by default) are the model."""
    source: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Folders of videos, or manifests, whose clips have no labels, or known ones that are not learnt from;
    beside the training clips that `data.label_fraction` leaves without."""
    near_duplicates: bool = False
    """Whether unlabelled clips that show what a labelled, validated or tested one does, encoded anew, resized
    or cut out, are looked for and refused; every video is read for that."""
    strong: Augment = STRONG
    """Augmentation of the strong view; without mixing of clips."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Probability from which an answer counts as a label."""
    weight: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Weight of the loss of unlabelled clips (lambda); it is the mean over all of them, those below the
    threshold included."""
    ratio: Count = 7
    """Unlabelled clips for each labelled clip of a batch (mu)."""
    teacher: Literal["average", "student"] = "average"
    """Weights that give the labels: the averaged ones, or as in FixMatch itself those in training."""


class PretrainSection(Section):
    """Learning from the training clips without their labels, in place of training a classifier. Other runs
    start from the result: `model.pretrained: RUN`."""

    method: Annotated[PretrainMethod | None, BeforeValidator(_refuse_semi_supervised)] = None
    """Method: `masked_tubes` fills in masked tubes of a video (Tong et al. 2022; models that are transformers
    over tubelets), `contrastive` tells two times of a video from all other videos of the batch (Feichtenhofer
    et al. 2021, as SimCLR does with images), for any model."""
    mask: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Fraction of the tubes that is masked, the same places in all frames."""
    decoder_width: Count = 192
    """Width of the decoder's tokens."""
    decoder_depth: Count = 4
    """Blocks of the decoder."""
    decoder_heads: Count = 3
    """Attention heads of the decoder."""
    second: Augment = STRONG
    """Augmentation of the second clip of a contrastive pair; that of the first is `augment`."""
    temperature: Positive = 0.1
    """Temperature of the contrastive loss."""
    projection: Count = 128
    """Width of the projection in which clips are compared."""
