"""What of the data is learnt from, what steers, what tests: splits given, drawn, or inherited."""

from __future__ import annotations

import logging
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kinesphere.core.errors import IncompleteSplit, InvalidSetting
from kinesphere.core.paths import real_path
from kinesphere.data.content import Content, contents_of
from kinesphere.data.faults import (
    Problem,
    copies_together,
    label_problems,
    leaks,
    same_content,
    unread_spans,
    unused_problems,
)
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import VAL_SPLITS, split_name
from kinesphere.data.split import holdout
from kinesphere.evaluate.pretraining import pretraining_notes
from kinesphere.evaluate.seen import Met, Seen, seen_by
from kinesphere.models.checkpoint import FILE_NAME, architecture_in, model_file, read_provenance
from kinesphere.models.provenance import Provenance
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.starting import is_file, named_weights
from kinesphere.train.config import DataSection
from kinesphere.train.recipe import Recipe
from kinesphere.train.splits_csv import Part

log = logging.getLogger("kinesphere.train")

AUTO_VAL, AUTO_TEST = 0.1, 0.2
# Of what is new beside the data of the model that a run starts from, at most this fraction is held out.
_MOST_OF_NEW = 0.5


@dataclass(frozen=True)
class Parts:
    """The samples of a run by what they are for; all share one label set.

    Attributes:
        train: What is learnt from.
        val: What steers training, if anything does.
        test: What is scored at the end, if anything is held out for that.
        whole: All samples of the data, those that stay unused included.
        contents: Contents of their files.
        notes: What a reader of the scores must know of this split.
        unlabelled: What is learnt from without labels, if anything is.
    """

    train: Manifest
    val: Manifest | None
    test: Manifest | None
    whole: Manifest
    contents: Mapping[Path, Content] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = ()
    unlabelled: Manifest | None = None

    def uses(self) -> dict[str, Part]:
        """What each sample is used for, by id; what is missing is not used."""
        named: tuple[tuple[Part, Manifest | None], ...] = (
            ("train", self.train),
            ("val", self.val),
            ("test", self.test),
            ("unlabelled", self.unlabelled),
        )
        return {sample.id: part for part, samples in named for sample in samples or ()}


def divide(recipe: Recipe, manifest: Manifest) -> tuple[Parts, DataSection]:
    """The parts of a run, and the section of its recipe with every `auto` of them decided.

    Splits that the data give are taken as they are. Shares are drawn in whole groups, copies of one file
    together; where the run starts from weights that some of the data taught, those stay in training.

    Raises:
        InvalidSetting: If the settings contradict each other or the data.
    """
    data, seed, splits = recipe.data, recipe.train.seed, manifest.splits
    test, val = (split_name(name) if isinstance(name, str) else name for name in (data.test, data.val))
    if test == "auto":
        test = "test" if "test" in splits else 0.0 if splits else AUTO_TEST
    if val == "auto":
        val = next((name for name in VAL_SPLITS if name in splits), AUTO_VAL)
    if test == "train" or (isinstance(val, str) and val in (test, "train")):
        raise InvalidSetting(f"Train, val and test must be different splits; got val {val!r}, test {test!r}.")
    contents = contents_of(sample.path for sample in manifest)
    copies = same_content(contents)
    manifest = copies_together(manifest, copies)
    seen = _base(recipe)
    met = {} if seen is None else seen.of(manifest, contents)
    marked = manifest if splits else manifest.with_splits({sample.id: "train" for sample in manifest})
    if isinstance(test, float) and test > 0:
        marked = _hold_out(marked, "test", test, seed, met)
    if isinstance(val, float) and val > 0:
        marked = _hold_out(marked, "val", val, seed, {})
    parts = Parts(
        marked.where(split="train"),
        _part(marked, "val" if isinstance(val, float) else val, val),
        _part(marked, "test" if isinstance(test, float) else test, test),
        manifest,
        contents,
    )
    used = sum(len(part) for part in (parts.train, parts.val, parts.test) if part is not None)
    if used < len(manifest):
        unused = set(parts.whole.splits) - {
            part.splits[0] for part in (parts.train, parts.val, parts.test) if part
        }
        log.warning(
            "%d of %d samples are in other splits%s and stay unused.",
            len(manifest) - used,
            len(manifest),
            f" ({', '.join(map(repr, sorted(unused)))})" if unused else "",
        )
    notes = (*_told(parts, copies), *_learnt_before(recipe, parts, met), *_pretrained_on(recipe, parts))
    update = {
        "source": tuple(str(real_path(Path(source))) for source in data.source),
        "val": val,
        "test": test,
        "videos": None if data.videos is None else str(real_path(Path(data.videos))),
        "cache": None if data.cache is None else str(real_path(Path(data.cache))),
        "extracts": None if data.extracts is None else str(real_path(Path(data.extracts))),
    }
    named = Parts(parts.train, parts.val, parts.test, manifest, contents, notes)
    return named, data.model_copy(update=update)


def _base(recipe: Recipe) -> Seen | None:
    """What the weights that a run starts from have met, where they are a run's."""
    start = recipe.model.pretrained
    if not isinstance(start, str):
        return None
    path = Path(start) / FILE_NAME if Path(start).is_dir() else Path(start)
    if not path.is_file() or architecture_in(path) is None:  # foreign weights do not say what they have met
        return None
    seen, unknown = seen_by((read_provenance(path),))
    for note in unknown:
        log.warning("%s: %s", start, note)
    return seen


def _pretrained_on(recipe: Recipe, parts: Parts) -> tuple[str, ...]:
    """Say where the public data that the weights at the start learnt from are known to hold test clips."""
    if parts.val is None and parts.test is None:
        return ()
    notes = pretraining_notes((_start(recipe),), parts.whole.labels)
    for note in notes:
        log.warning("%s", note)
    return notes


def _start(recipe: Recipe) -> Provenance:
    """Where the weights come from that a run starts from, as far as that is known before they are read."""
    name, start = recipe.model.name, recipe.model.pretrained
    if isinstance(start, str):
        if is_file(start, name):
            path = model_file(start)
            return read_provenance(path) if architecture_in(path) is not None else Provenance("not yet read")
        name, start = named_weights(start, name)
    stem, _, tag = name.partition(".")
    weights = tag or start
    if not weights:
        return Provenance("initialised")
    if stem == "auto":  # a tag alone: whether the model that suits the data has it is not decided yet
        return Provenance("not yet read")
    return Provenance("public weights", trained_on=MODELS.get(stem).card.published(weights).trained_on)


def _hold_out(manifest: Manifest, name: str, fraction: float, seed: int, met: Mapping[str, Met]) -> Manifest:
    """Move a fraction of the split `train` to a split of its own.

    Groups of which the weights at the start have learnt something stay; groups that tested them move; the
    rest of the fraction is drawn from what they have not met.
    """
    if name in manifest.splits:
        raise InvalidSetting(
            f"data.{name} is the fraction {fraction}, but the data have a split {name!r}; name that."
        )
    pool = manifest.where(split="train")
    of_group: dict[str, set[Met | None]] = defaultdict(set)
    for sample in pool:
        of_group[sample.group or str(sample.path)].add(met.get(sample.id))
    free, moved = [], {}
    for i, sample in enumerate(pool):
        found = of_group[sample.group or str(sample.path)]
        if found == {None}:
            free.append(i)
        elif not found - {None, "test"}:
            moved[sample.id] = name
    if len(free) == len(pool) or not (free or moved):
        # Nothing is known, or all of it was learnt: then the overlap is counted and reported.
        drawn = _drawn(pool, name, fraction, seed)
        return manifest.with_splits({sample.id: str(sample.split) for sample in drawn})
    rest = fraction * len(pool) - len(moved)
    if free and rest >= 1:
        part = min(_MOST_OF_NEW, rest / len(free))
        try:
            drawn = _drawn(pool.select(free), name, part, seed)
            moved |= {sample.id: name for sample in drawn if sample.split == name}
        except InvalidSetting as error:
            if not moved:
                raise
            log.warning("What the weights at the start have not met stays in training: %s", error)
    log.info(
        "%d of %d samples have taught or tested the weights at the start: those that taught them stay in "
        "training; %r holds %d.",
        len(pool) - len(free), len(pool), name, len(moved),
    )  # fmt: skip
    return manifest.with_splits(moved)


def _drawn(pool: Manifest, name: str, fraction: float, seed: int) -> Manifest:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteSplit)  # said once, of the whole split, by `_told`
        return holdout(pool, {"train": 1 - fraction, name: fraction}, seed)


def _part(manifest: Manifest, split: str, setting: float | str) -> Manifest | None:
    return None if setting == 0 else manifest.where(split=split)


def _told(parts: Parts, copies: list[list[Path]]) -> tuple[str, ...]:
    """Log what is wrong with data and split; what makes scores wrong is returned as well."""
    for grouping in parts.whole.groupings:
        log.info("No group is given: %s.", grouping.sentence())
    uses = parts.uses()
    used = [i for i, sample in enumerate(parts.whole) if sample.id in uses]
    marked = parts.whole.select(used).with_splits(dict(uses))
    listed = set(map(str, (sample.path for sample in marked)))
    problems = [
        *unused_problems(marked),
        *unread_spans(marked),
        *label_problems(marked),
        *leaks(marked, [paths for paths in copies if listed.issuperset(map(str, paths))]),
    ]
    for each in problems:
        log.warning("%s", each.sentence())
    return tuple(each.sentence() for each in problems if _concerns_scores(each))


def _concerns_scores(problem: Problem) -> bool:
    untaught = problem.kind == "empty class" and problem.message.startswith("split 'train'")
    return untaught or problem.severity == "error" or problem.kind in ("similar labels", "overlap")


def _learnt_before(recipe: Recipe, parts: Parts, met: Mapping[str, Met]) -> tuple[str, ...]:
    """Say how much of what is held out has taught the weights at the start."""
    notes = []
    for name, part in (("validation", parts.val), ("test", parts.test)):
        learnt = Counter(met.get(sample.id) not in (None, "test") for sample in part or ())[True]
        if part is not None and learnt:
            note = (
                f"{learnt} of {len(part)} {name} clips have taught {recipe.model.pretrained}, from which "
                f"this run starts, or are of files that have; the {name} score flatters."
            )
            log.warning("%s", note)
            notes.append(note)
    return tuple(notes)
