"""Data of a joint training: each set read and divided as it would be alone, then put together."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain, permutations
from pathlib import Path

from kinesphere.core.errors import InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.paths import real_path
from kinesphere.data.faults import unused_problems
from kinesphere.data.manifest import Manifest
from kinesphere.evaluate.pretraining import known_set, overlap_notes
from kinesphere.train.config import DataSection
from kinesphere.train.joint_sections import SEPARATOR, JointSection
from kinesphere.train.recipe import Recipe
from kinesphere.train.set_heads import heads_of, of_set, set_of
from kinesphere.train.splits import Parts, divide

log = logging.getLogger("kinesphere.train")


def joined(sets: Mapping[str, Manifest]) -> Manifest:
    """The samples of several sets in one manifest, ids, labels and groups with the sets' names before them.

    Raises:
        InvalidSetting: If samples of some set carry several labels.
    """
    for name, manifest in sets.items():
        if manifest.labels.multi:
            raise InvalidSetting(
                f"Samples of {name!r} carry several labels; joint training needs one label per sample in "
                "every set. Train that set by itself, or on another label_column."
            )
        for each in unused_problems(manifest):
            log.warning("%s: %s", name, each.sentence())
    labels = [(f"{name}{SEPARATOR}", manifest.labels) for name, manifest in sets.items()]
    together = LabelSet(
        tuple(prefix + label for prefix, own in labels for label in own),
        mirror=tuple((prefix + a, prefix + b) for prefix, own in labels for a, b in own.mirror),
        parents=tuple((prefix + a, prefix + b) for prefix, own in labels for a, b in own.parents),
        ordered=True,
    )
    samples = tuple(of_set(name, sample) for name, manifest in sets.items() for sample in manifest)
    root = os.path.commonpath([real_path(manifest.root) for manifest in sets.values()])
    return Manifest(samples, together, Path(root))


def refuse_joint(recipe: Recipe, what: str) -> None:
    """Refuse a joint training where one set is expected.

    Args:
        recipe: The recipe.
        what: What expects it, as the beginning of a sentence.

    Raises:
        InvalidSetting: If the recipe has several sets.
    """
    if recipe.joint.sets:
        raise InvalidSetting(f"{what} takes one data set; joint.sets names {', '.join(recipe.joint.sets)}.")


def check_joint(recipe: Recipe, manifest: Manifest) -> None:
    """Refuse what several data sets at once do not do.

    Raises:
        InvalidSetting: If clips of one set would be mixed with those of another, a trained head be changed,
            clips without labels be learnt from, or some set has one class.
    """
    if not recipe.joint.sets:
        return
    for head in heads_of(recipe, manifest.labels):
        if len(head.labels) < 2:
            raise InvalidSetting(
                f"All samples of {head.name!r} are of one class, {head.labels.names[0]!r}; a head tells "
                "classes apart. Add clips of something else."
            )
    if recipe.augment.mixup or recipe.augment.cutmix:
        raise InvalidSetting(
            "augment.mixup and augment.cutmix mix clips of different data sets, which no head answers for; "
            "leave them out of a joint training."
        )
    if recipe.rebalance.method is not None:
        raise InvalidSetting(
            "rebalance changes the head of one data set; run it on the model of one, as "
            "model.pretrained=RUN/sets/NAME with that set's data."
        )
    if recipe.unlabelled.method is not None or recipe.pretrain.method is not None:
        raise InvalidSetting(
            "Unlabelled clips and pre-training (unlabelled.method, pretrain.method) are of one data set; "
            "leave them out of a joint training, or start it from the run that they gave."
        )
    if set(recipe.probe.kinds) - {"linear"}:
        raise InvalidSetting(
            "Attentive and k-NN probes are of one data set; take probe.kind=linear for a joint training."
        )
    if len(recipe.probe.lr) and len(recipe.probe.lr) * max(1, len(recipe.probe.weight_decay)) > 1:
        untested = [name for name, each in recipe.joint.sets.items() if each.within(recipe.data).val == 0]
        if untested:
            raise InvalidSetting(
                f"Several probes of a joint training are chosen on validation samples; {untested[0]!r} holds "
                "none out (val: 0)."
            )


def divide_sets(recipe: Recipe, manifest: Manifest) -> tuple[Parts, DataSection, JointSection]:
    """The parts of all sets together, each divided as it would be alone, with every `auto` decided.

    Raises:
        InvalidSetting: If settings contradict each other or the data; the set is named.
    """
    found: dict[str, Parts] = {}
    sections, data = {}, recipe.data
    for head in heads_of(recipe, manifest.labels):
        section = recipe.joint.sets[head.name]
        alone = recipe.model_copy(update={"data": section.within(recipe.data)})
        try:
            found[head.name], data = divide(alone, head.own(manifest))
        except InvalidSetting as error:
            raise InvalidSetting(f"In the data set {head.name!r}: {error}") from error
        decided: dict[str, object] = {"source": data.source, "val": data.val, "test": data.test}
        if section.videos is not None:
            decided["videos"] = data.videos
        sections[head.name] = section.model_copy(update=decided)
    together = {
        use: {name: own for name, parts in found.items() if (own := getattr(parts, use)) is not None}
        for use in ("train", "val", "test", "whole")
    }

    def part(use: str) -> Manifest | None:
        own = together[use].items()
        samples = (of_set(name, sample) for name, samples in own for sample in samples)
        return replace(manifest, samples=tuple(samples)) if own else None

    train, whole = part("train"), part("whole")
    assert train is not None
    assert whole is not None
    contents = dict(chain.from_iterable(parts.contents.items() for parts in found.values()))
    notes = [f"{name}: {note}" for name, parts in found.items() for note in parts.notes]
    parts = Parts(train, part("val"), part("test"), whole, contents, ())
    crossing = (*_crossing(parts), *_overlapping(recipe, manifest))
    for note in crossing:
        log.warning("%s", note)
    common = recipe.data.model_copy(
        update={
            "source": tuple(source for each in sections.values() for source in each.source),
            "cache": data.cache,
            "extracts": data.extracts,
        }
    )
    joint = recipe.joint.model_copy(update={"sets": sections})
    return replace(parts, notes=(*notes, *crossing)), common, joint


def _crossing(parts: Parts) -> tuple[str, ...]:
    """Say how many held-out clips of one set are of files that the network learns from in another."""
    learnt: dict[str, set[str]] = {}
    for sample in parts.train:
        if digest := parts.contents[sample.path].digest:
            learnt.setdefault(digest, set()).add(set_of(sample))
    notes = []
    for what, part in (("validation", parts.val), ("test", parts.test)):
        count = sum(
            bool(learnt.get(parts.contents[sample.path].digest or "", set()) - {set_of(sample)})
            for sample in part or ()
        )
        if part is not None and count:
            notes.append(
                f"{count} of {len(part)} {what} clips are of files from which the network learns in another "
                "data set of this run; the score flatters."
            )
    return tuple(notes)


def _overlapping(recipe: Recipe, manifest: Manifest) -> tuple[str, ...]:
    """Say where one set is known to hold test clips of another."""
    known = [name for head in heads_of(recipe, manifest.labels) if (name := known_set(head.labels))]
    return tuple(
        note for learnt, tested in permutations(known, 2) for note in overlap_notes((learnt,), tested)
    )
