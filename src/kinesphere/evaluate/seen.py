"""Which clips of some data a model has met in training, so that none of them counts as its test.

A model file carries short digests of the clips that it learnt from, that steered it and that tested it. A
clip is known again by its file's content and its span, so also under another name or in another folder;
where a file was changed in its place, by its path.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from kinesphere.core.errors import InvalidManifest
from kinesphere.core.paths import real_path
from kinesphere.data.content import Content, contents_of
from kinesphere.data.manifest import Manifest
from kinesphere.data.sample import Sample
from kinesphere.models.provenance import ClipDigests, Provenance

Met = Literal["train", "val", "test", "known test", "recording", "before"]
"""How a model met a clip: it learnt from it, was steered by it, was tested on it, or was tested on it though
it, or the weights that it started from, had learnt from it or its file; it learnt from another clip of its
file; or the weights that it started from had learnt from it."""

_BYTES = 6
# The digests of more clips would fill a model file's header.
_MOST = 500_000
log = logging.getLogger("kinesphere.evaluate")
# As much of the data must be known for them to be the run's own.
_OWN = 0.5


def digests_of(
    clips: Iterable[tuple[Sample, str]],
    contents: Mapping[Path, Content],
    before: Sequence[ClipDigests] = (),
) -> ClipDigests | None:
    """The digests of a run's clips; None where there are too many to carry.

    Args:
        clips: Samples with what they were used for; those that were not used are passed over.
        contents: Contents of their files.
        before: Clips of the models whose weights it started from.
    """
    found: dict[str, set[bytes]] = {
        name: set() for name in ("train", "val", "test", "files", "places", "before")
    }
    for sample, part in clips:
        if part not in ("train", "val", "test"):
            continue
        content = contents[sample.path]
        if content.digest:
            found[part].add(_clip(content.digest, sample.span))
        if part != "test":
            found["places"].add(_clip(str(real_path(sample.path)), sample.span))
            if content.digest:
                found["files"].add(_clip(content.digest, "file"))
    for each in before:
        for text in (each.train, each.val, each.files, each.before):
            found["before"] |= _unpacked(text)
    count = sum(map(len, found.values()))
    if count > _MOST:
        log.warning(
            "The model file will not know its clips: it holds up to %d digests, these make %d. Keep the "
            "run's folder: its splits.csv knows them.",
            _MOST,
            count,
        )
        return None
    return ClipDigests(**{name: _packed(digests) for name, digests in found.items()})


@dataclass(frozen=True)
class Seen:
    """What models have met; of several, what any of them learnt from counts as learnt."""

    models: tuple[ClipDigests, ...]

    @cached_property
    def _sets(self) -> list[dict[str, set[bytes]]]:
        names = ("train", "val", "test", "files", "places", "before")
        return [{name: _unpacked(getattr(each, name)) for name in names} for each in self.models]

    def met(self, sample: Sample, content: Content) -> Met | None:
        """How the models met a clip; None if not at all."""
        found = [how for sets in self._sets if (how := _met(sets, sample, content)) is not None]
        order: tuple[Met, ...] = ("train", "val", "known test", "recording", "before", "test")
        return next((how for how in order if how in found), None)

    def of(self, manifest: Manifest, contents: Mapping[Path, Content] | None = None) -> dict[str, Met]:
        """How the models met the clips of a manifest, by id; clips that they have not met are missing.

        Args:
            manifest: The clips.
            contents: Contents of their files, where they are known already.
        """
        known = contents if contents is not None else contents_of(sample.path for sample in manifest)
        met = {sample.id: self.met(sample, known[sample.path]) for sample in manifest}
        return {name: how for name, how in met.items() if how is not None}


@dataclass(frozen=True)
class Scored:
    """What of some data is scored.

    Attributes:
        manifest: The clips.
        split: What they are, for the report; None for all of the data.
        notes: What a reader of the score must know.
    """

    manifest: Manifest
    split: str | None
    notes: tuple[str, ...]


def choose(manifest: Manifest, seen: Seen | None, split: str | None = None) -> Scored:
    """The clips to score a model on, with the warnings that belong beside the score.

    Where most of the data are the model's own, that is what it was tested on; where nothing was held out for
    that, what it was validated on. Data that it has not met are scored as they are.

    Args:
        manifest: The data.
        seen: What the model has met; None where that is not known.
        split: A split of the manifest, or of the run if the manifest has none of that name; `all` takes
            everything.

    Raises:
        InvalidManifest: If there is no such split.
    """
    met = {} if seen is None else seen.of(manifest)
    if split is not None and split != "all":
        if split not in manifest.splits and split in _PARTS:
            chosen = _where(manifest, met, split)
        else:
            chosen = manifest.where(split=split)
        return Scored(chosen, split, warnings_of(chosen, met))
    own = sum(how not in ("recording", "before") for how in met.values())
    if split == "all" or own < _OWN * len(manifest):
        return Scored(manifest, None, warnings_of(manifest, met))
    for part, what in (("test", "tested on"), ("val", "validated on")):
        if set(_PARTS[part]) & set(met.values()):
            chosen = _where(manifest, met, part)
            counts = Counter(met.get(sample.id, "none") for sample in manifest)
            parts = [
                f"{counts[how]} {text}" for how, text in _TOLD if how not in _PARTS[part] and counts[how]
            ]
            note = (
                f"These are the model's own data: the {len(chosen)} clips that it was {what} are scored. "
                f"Left out of {len(manifest)}: {', '.join(parts) or 'none'}. `--split all` scores them too."
            )
            return Scored(chosen, part, (note, *warnings_of(chosen, met)))
    return Scored(manifest, None, warnings_of(manifest, met))


_PARTS: dict[str, tuple[Met, ...]] = {"train": ("train",), "val": ("val",), "test": ("test", "known test")}


def as_it_is(manifest: Manifest, seen: Seen | None, split: str) -> Scored:
    """All of a selected part, with the warnings that belong beside its score."""
    return Scored(manifest, split, warnings_of(manifest, {} if seen is None else seen.of(manifest)))


_TOLD = (
    ("train", "that it learnt from"),
    ("val", "that steered its training"),
    ("test", "that it was tested on"),
    ("known test", "that it was tested on and had learnt from, or its start, or their files"),
    ("recording", "of files that it learnt from"),
    ("before", "that the weights it started from had learnt from"),
    ("none", "that it has not met"),
)


def seen_by(provenances: Sequence[Provenance]) -> tuple[Seen | None, tuple[str, ...]]:
    """What models have met, and a note where a trained one does not tell."""
    known = tuple(each.clips for each in provenances if each.clips is not None)
    silent = [each for each in provenances if each.clips is None and each.origin == "trained"]
    note = (
        "The model does not tell which clips it learnt from (it was trained by an earlier version, or on too "
        "many); whether any of these are among them is not known."
    )
    return Seen(known) if known else None, (note,) if silent else ()


def warnings_of(manifest: Manifest, met: Mapping[str, Met]) -> tuple[str, ...]:
    """What to say of clips that a model has learnt from and that are scored all the same."""
    counts = Counter(met.get(sample.id, "none") for sample in manifest)
    parts = [f"{counts[how]} {text}" for how, text in _TOLD if how not in ("test", "none") and counts[how]]
    if not parts:
        return ()
    counted = ", ".join(parts)
    return (f"NOT A TEST: of {len(manifest)} scored clips there are {counted}. The score flatters.",)


def _where(manifest: Manifest, met: Mapping[str, Met], part: str) -> Manifest:
    chosen = [i for i, sample in enumerate(manifest) if met.get(sample.id) in _PARTS[part]]
    if not chosen:
        raise InvalidManifest(
            f"No clip of {manifest.root} belongs to the split {part!r}: neither the data nor the model's "
            f"training name it. Splits of the data: {list(manifest.splits) or 'none'}; `all` takes all."
        )
    return manifest.select(chosen)


def _met(sets: Mapping[str, set[bytes]], sample: Sample, content: Content) -> Met | None:
    here = _clip(str(real_path(sample.path)), sample.span) in sets["places"]
    if not content.digest:
        return "train" if here else None
    clip, file = _clip(content.digest, sample.span), _clip(content.digest, "file")
    learnt = clip in sets["train"] or clip in sets["val"] or file in sets["files"]
    before = clip in sets["before"] or file in sets["before"]
    if clip in sets["test"] and not here:
        return "known test" if learnt or before else "test"
    if clip in sets["val"] and clip not in sets["train"]:
        return "val"
    if clip in sets["train"] or here:
        return "train"
    return "recording" if learnt else "before" if before else None


def _clip(name: str, span: tuple[float, float] | str | None) -> bytes:
    text = span if isinstance(span, str) else "" if span is None else f"{span[0]:.3f}-{span[1]:.3f}"
    return hashlib.sha256(f"{name}\0{text}".encode("utf-8", "surrogateescape")).digest()[:_BYTES]


def _packed(digests: set[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(digests))).decode()


def _unpacked(text: str) -> set[bytes]:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return set()
    return {data[i : i + _BYTES] for i in range(0, len(data), _BYTES)}
