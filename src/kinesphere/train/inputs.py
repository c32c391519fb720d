"""The inputs of a run: the contracts on the model's card with the recipe's changes, and how their files came
to be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from kinesphere.clips.augment.settings import Augment
from kinesphere.clips.modality import MODALITIES, sees_frames, stands_alone
from kinesphere.clips.preparation import Preparation
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import ClipSpec
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.data.background import lacking_masks
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.data.sources import lacks_file
from kinesphere.models.recogniser import Recogniser
from kinesphere.train.clip_sections import ClipSection, InputSection

log = logging.getLogger("kinesphere.train")

# Training samples whose files are asked how they were made.
_ASKED = 16


def clip_specs(name: str, own: Sequence[ClipSpec], clip: ClipSection) -> tuple[ClipSpec, ...] | None:
    """The input contracts of a model with the recipe's changes; None where there are none.

    What changes holds for all inputs that it has a meaning for (see `ClipSection`), except where the section
    of their kind says something else.

    Args:
        name: Name of the model.
        own: Its contracts, for the skeleton and the like that it is built for.
        clip: The changes.

    Raises:
        InvalidSetting: If the sampling of inputs that are sampled differently is changed for all alike, if
            there is no input that a change has a meaning for, or if changes contradict a contract.
    """
    common = _changes(clip) | {
        key: value for key in ("people", "align") if (value := getattr(clip, key)) is not None
    }
    apart = {kind: _changes(getattr(clip, kind)) for kind in MODALITIES}
    if not common and not any(apart.values()):
        return None
    if "sampling" in common and len({spec.sampling for spec in own}) > 1:
        keys = " and ".join(f"clip.{spec.modality}.sampling" for spec in own)
        raise InvalidSetting(
            f"{name} has {len(own)} inputs that are sampled each in its own way; set {keys} in place of "
            "clip.sampling."
        )
    for key, value in common.items():
        if not any(_concerns(key, value, spec, own) for spec in own):
            seen = [each.what for each in map(MODALITIES.get, MODALITIES) if "people" in each.settings]
            what = "joints in space" if key == "align" else " or ".join(seen)
            raise InvalidSetting(f"{name} does not look at {what}; leave clip.{key} out.")
    for kind, changes in apart.items():
        if changes and kind not in [spec.modality for spec in own]:
            what = MODALITIES.get(kind).what
            raise InvalidSetting(f"{name} does not look at {what}; leave clip.{kind} out.")
    return tuple(
        _changed(
            spec,
            {key: value for key, value in common.items() if _concerns(key, value, spec, own)}
            | apart[spec.modality],
        )
        for spec in own
    )


def _changes(section: InputSection) -> dict[str, Any]:
    """What a section changes, by the names of a contract's fields."""
    changes = {key: getattr(section, key) for key in InputSection.model_fields}
    changes["flow"] = getattr(section, "method", None)
    return {key: value for key, value in changes.items() if value is not None}


def _concerns(key: str, value: Any, spec: ClipSpec, own: Sequence[ClipSpec]) -> bool:
    """Whether a change of all inputs has a meaning for one of a model's own."""
    modality = MODALITIES.get(spec.modality)
    beside_pictures = not modality.is_picture and any(
        MODALITIES.get(each.modality).is_picture for each in own
    )
    match key:
        case "people":
            return "people" in modality.settings
        case "align":
            return spec.dimensions == 3
        case "size" | "short_side_px":
            return not beside_pictures
        case "resize" if value == "people":
            return "people" in modality.settings
        case "resize":
            return not (beside_pictures and spec.resize == "people")
        case _:
            return True


def _changed(own: ClipSpec, changes: dict[str, Any]) -> ClipSpec:
    if "short_side_px" not in changes and own.short_side_px is not None:
        if changes.get("resize") in ("letterbox", "people"):  # they leave no margin to crop
            changes["short_side_px"] = None
        elif "size" in changes:
            # The margin around the crop is a proportion, and follows the size.
            changes["short_side_px"] = round(own.short_side_px * max(changes["size"]) / max(own.size))
    return ClipSpec.from_json({**own.to_json(), **changes})


def check_augment(augment: Augment, recogniser: Recogniser, samples: Manifest, extracts: Extracts) -> None:
    """Refuse what augmentation cannot do to a model's inputs, and tell how many samples lack masks.

    Args:
        augment: The settings.
        recogniser: What learns.
        samples: What is learnt from.
        extracts: Where extracted files lie.

    Raises:
        InvalidSetting: If still frames or labels of backgrounds are mixed in for a model that does not see
            them, or backgrounds are changed and no sample has masks.
    """
    name, specs = recogniser.card.name, recogniser.specs
    if augment.still_mix and not any(MODALITIES.get(spec.modality).shows_stills for spec in specs):
        raise InvalidSetting(f"{name} sees no pixels that stand still; leave augment.still_mix out.")
    if augment.background_label and not sees_frames(specs):
        raise InvalidSetting(f"{name} sees no background; leave augment.background_label out.")
    if not augment.background:
        return
    lacking = lacking_masks(samples, extracts)
    if len(lacking) == len(samples):
        raise InvalidSetting(
            f"augment.background needs masks, and none of the {len(samples)} training samples has them; run "
            "`kinesphere extract mask` on them, or leave it out."
        )
    if lacking:
        log.warning(
            "Of %d training samples, %d have no masks and are left out where their background would be "
            "changed; run `kinesphere extract mask` on them. The first: %s",
            len(samples), len(lacking), lacking[0].path,
        )  # fmt: skip


def preparation_of(samples: Manifest, specs: Sequence[ClipSpec], extracts: Extracts) -> Preparation:
    """How the files of poses and flow of some samples were made, as a few of them tell.

    What they differ in is logged, and most of them decide. Files that cannot be read are passed over: the
    run counts and lists them.

    Args:
        samples: What is learnt from.
        specs: What is read of them.
        extracts: Where extracted files lie.
    """
    step = max(1, len(samples) // _ASKED)
    asked = list(samples)[::step][:_ASKED]
    names = sorted({spec.modality for spec in specs})
    for name in names:
        if lacking := sum(lacks_file(sample.path, name, extracts) is not None for sample in asked):
            log.warning(
                "Of %d training samples that were asked, %d have no %s file in %s: their %s is estimated "
                "from the frames, again in each epoch. Extract it there, or leave data.extracts out.",
                len(asked), lacking, name, extracts.folder, name,
            )  # fmt: skip
    parts = [part for name in names for part in _prepared(name, asked, extracts)]
    common, differing = Preparation.common(parts)
    if differing:
        log.warning(
            "The files of the training samples were made with different settings (%s); prediction follows "
            "most.",
            ", ".join(differing),
        )
    return common


def _prepared(modality: str, samples: Sequence[Sample], extracts: Extracts) -> list[Preparation]:
    """How the files of one modality were made, as far as there are some that can be read."""
    sidecar = MODALITIES.get(modality).sidecar
    if sidecar is None:
        return []
    files = []
    for sample in samples:
        own = sample.path if stands_alone(sample.path) is sidecar else sample.sidecar(modality)
        try:
            if (path := own or extracts.find(sample.path, sidecar.suffix)) is not None:
                files.append(sidecar.open(path))
        except InvalidAnnotation:
            continue
    return sidecar.prepared(files)
