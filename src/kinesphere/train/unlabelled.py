"""Which clips a run learns from without labels: those that lose theirs, those of further folders, and that
none of them is tested on.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kinesphere.core.device import cpu_count
from kinesphere.core.errors import IncompleteSplit, InvalidSetting
from kinesphere.core.labels import LabelSet
from kinesphere.core.paths import is_file, is_folder, real_path
from kinesphere.data.content import Content, contents_of
from kinesphere.data.folder import TABLES, contents
from kinesphere.data.groups import with_groups
from kinesphere.data.manifest import Manifest, shown_path
from kinesphere.data.near_duplicates import find_near_duplicates
from kinesphere.data.sample import Sample
from kinesphere.data.sample_table import SampleTable
from kinesphere.data.split import holdout
from kinesphere.train.recipe import Recipe
from kinesphere.train.splits import Parts
from kinesphere.train.splits_csv import ELSEWHERE

log = logging.getLogger("kinesphere.train")

NO_CLASS = "unlabelled"
"""The only class of a model that is pre-trained without labels."""
_MOST_NAMED = 3


def check_unlabelled(recipe: Recipe, multi: bool) -> None:
    """Refuse what learning without labels does not do.

    Raises:
        InvalidSetting: If settings contradict each other.
    """
    unlabelled, pretrain = recipe.unlabelled.method, recipe.pretrain.method
    if unlabelled is None and pretrain is None:
        if recipe.unlabelled.source:
            raise InvalidSetting(
                "unlabelled.source names clips, but nothing learns from them; set unlabelled.method, or "
                "pretrain.method."
            )
        return
    if unlabelled is not None and pretrain is not None:
        raise InvalidSetting(
            "Pre-train first (pretrain.method), and start the run with unlabelled.method from that run "
            "(model.pretrained); one run does one of them."
        )
    name = "pretrain.method" if pretrain is not None else "unlabelled.method"
    second = recipe.pretrain.second if pretrain is not None else recipe.unlabelled.strong
    mixing = [bool(each.mixup or each.cutmix or each.still_mix) for each in (recipe.augment, second)]
    refused = {
        "probe.lr": bool(recipe.probe.kinds),
        "rebalance.method": recipe.rebalance.method is not None,
        "mixing of clips (mixup, cutmix, still_mix)": any(mixing),
        "augment.background_label": recipe.augment.mixes_labels,
        "several labels a sample": multi and unlabelled is not None,
        "data.label_fraction, as it uses no label": pretrain is not None and recipe.data.label_fraction < 1,
        "train.early_stopping, as nothing validates it": (
            pretrain is not None and recipe.train.early_stopping is not None
        ),
        "compute.processes above 1": pretrain is not None and recipe.compute.processes > 1,
    }
    if given := [what for what, is_given in refused.items() if is_given]:
        raise InvalidSetting(f"{name} takes no {' and no '.join(given)}; leave it out.")


def set_apart(recipe: Recipe, parts: Parts) -> Parts:
    """The parts of a run with what it learns from without labels.

    Raises:
        InvalidSetting: If there is no such clip, too few groups leave a class without a label, or an
        unlabelled
            clip, its group or a copy of its file is tested, validated or labelled, which names it.
    """
    fraction, learns = recipe.data.label_fraction, recipe.unlabelled.method is not None
    rest: list[Sample] = []
    if fraction < 1:
        labelled, without = _subset(parts.train, fraction, recipe.train.seed)
        parts = replace(parts, train=labelled)
        rest = list(without)
        log.info("%d of %d training samples keep their labels.", len(labelled), len(labelled) + len(rest))
    if recipe.pretrain.method is None and not learns:
        return parts
    further = [
        sample
        for number, source in enumerate(recipe.unlabelled.source)
        for sample in _read(recipe, source, number, parts.whole.labels)
    ]
    known = {**contents_of(sample.path for sample in further), **parts.contents}
    if pool := [*rest, *further]:
        _refuse_crossing(pool, parts, known)
        if recipe.unlabelled.near_duplicates:
            _refuse_copies(pool, parts)
    elif learns:
        raise InvalidSetting(
            "There is no unlabelled clip: name folders or manifests in unlabelled.source, or set "
            "data.label_fraction below 1."
        )
    whole = replace(parts.whole, samples=(*parts.whole.samples, *further))
    parts = replace(parts, whole=whole, contents=known)
    if learns:
        return replace(parts, unlabelled=replace(parts.train, samples=tuple(pool)))
    samples = tuple(replace(sample, labels=(NO_CLASS,)) for sample in (*parts.train, *pool))
    train = replace(parts.train, samples=samples, labels=LabelSet((NO_CLASS,)))
    return replace(parts, train=train, val=None)


def _subset(train: Manifest, fraction: float, seed: int) -> tuple[Manifest, Manifest]:
    """The training samples that keep their labels, and the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteSplit)  # what has no label needs no class
        try:
            marked = holdout(train, {"labelled": fraction, "unlabelled": 1 - fraction}, seed)
        except InvalidSetting as error:
            raise InvalidSetting(f"data.label_fraction={fraction:g}: {error}") from error
    return marked.where(split="labelled"), marked.where(split="unlabelled")


def _read(recipe: Recipe, source: str, number: int, known: LabelSet) -> list[Sample]:
    """The clips of a source, with the labels that they have among the known ones."""
    path = real_path(Path(source))
    if is_folder(path) and not any(is_file(path / name) for name in TABLES):
        found = contents(path)
        if not found.videos:
            raise InvalidSetting(f"unlabelled.source: the folder {source} holds no video.")
        listed = [Sample(shown_path(each, path), each, ()) for each in found.videos]
        grouped, _ = with_groups(SampleTable.of(listed), lambda file: shown_path(file, path))
        samples = list(grouped)
    else:
        data = recipe.data
        manifest = Manifest.read(
            path, label_column=data.label_column, group_column=data.group_column, wrong_rows=data.wrong_rows,
            labels=LabelSet(known.names, multi=True),
        )  # fmt: skip
        samples = list(manifest)
    return [
        replace(
            sample,
            id=f"{ELSEWHERE}{number}/{sample.id}",
            labels=sample.labels if len(sample.labels) == 1 and sample.labels[0] in known else (),
            split=None,
        )
        for sample in samples
    ]


def _refuse_crossing(pool: Iterable[Sample], parts: Parts, known: Mapping[Path, Content]) -> None:
    """Refuse unlabelled clips that are something else as well: by file, by content or by group."""
    uses = (("labelled", parts.train), ("validation", parts.val), ("test", parts.test))
    places: dict[tuple[str, str], str] = {}
    for use, manifest in uses:
        for sample in manifest or ():
            for key in _keys(sample, known):
                places[key] = f"{use} clip {sample.id!r}"
    crossing: list[str] = []
    for sample in pool:
        shared = next((key for key in _keys(sample, known) if key in places), None)
        if shared is not None:
            crossing.append(f"{sample.id!r} has the {shared[0]} of {places[shared]}")
    _refuse(crossing, "give other groups")


def _refuse_copies(pool: Iterable[Sample], parts: Parts) -> None:
    """Refuse unlabelled clips whose videos show what those of others do, although their bytes differ."""
    uses = (("labelled", parts.train), ("validation", parts.val), ("test", parts.test))
    places = {sample.path: f"{use} clip {sample.id!r}" for use, manifest in uses for sample in manifest or ()}
    named = {sample.path: sample.id for sample in pool if sample.path not in places}
    crossing = [
        f"{named[pair.one]!r} shows the same as {places[pair.other]}"
        for pair in find_near_duplicates([*named, *places], workers=cpu_count())
        if pair.one in named and pair.other in places
    ]
    _refuse(crossing, "give both videos one group")


def _refuse(crossing: Sequence[str], otherwise: str) -> None:
    if crossing:
        listed = "; ".join(crossing[:_MOST_NAMED]) + ("; …" if len(crossing) > _MOST_NAMED else "")
        raise InvalidSetting(
            f"{len(crossing)} unlabelled clips are not apart from what is labelled or scored: {listed}. Take "
            f"them out of the unlabelled clips, or {otherwise}."
        )


def _keys(sample: Sample, known: Mapping[Path, Content]) -> Iterable[tuple[str, str]]:
    yield "file", str(real_path(sample.path))
    if known[sample.path].digest:
        yield "content", known[sample.path].digest
    if sample.group is not None:
        yield "group", sample.group
