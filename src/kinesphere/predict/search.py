"""Search by a sentence: what a model saw of each window of each video, compared with any words.

What is seen does not depend on the words: it is kept, one file a video, and other words need no decoding.
"""

from __future__ import annotations

import glob
import hashlib
import heapq
import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinesphere.clips.clip import stack
from kinesphere.clips.modality import MODALITIES
from kinesphere.clips.npz import BROKEN, BrokenArchive, entries_of, read_entry
from kinesphere.clips.sampling import windows
from kinesphere.clips.spec import Views
from kinesphere.core.content import content_key
from kinesphere.core.errors import InvalidAnnotation, InvalidClip, InvalidSetting, NotFinite, VideoError
from kinesphere.core.files import make_folder, replacing, sweep
from kinesphere.core.limits import file_size
from kinesphere.core.paths import is_file
from kinesphere.core.settings_file import claim_settings
from kinesphere.core.skipped import Skipped
from kinesphere.core.structured import read_json
from kinesphere.core.threads import computing_with
from kinesphere.data.sources import local_path
from kinesphere.models.runtime.inference import prepared_copy
from kinesphere.models.words import ComparesWithWords
from kinesphere.predict.long_video import Span, window_clips
from kinesphere.predict.predictor import Predictor, digest_of

WINDOW_S = 4.0
SUFFIX = ".seen.npz"
SETTINGS = "search.settings.json"
VERSION = 1
_BATCH = 8
_TOUCH_S = 1e-6

log = logging.getLogger("kinesphere.predict")


@dataclass(frozen=True)
class Moment:
    """A span of a video and how alike it and a sentence are: a cosine, of which only the order says much."""

    source: str
    span: Span
    similarity: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in seconds."""
        return {"source": self.source, "span": list(self.span), "similarity": self.similarity}


@dataclass(frozen=True)
class Found:
    """What a search gave.

    Attributes:
        moments: The best first; of windows that overlap the best alone.
        videos: Number of videos that were searched.
        windows: Number of their windows.
        decoded: Number of videos that were decoded for it; what was seen of the others was kept.
        skipped: Videos that could not be searched.
    """

    moments: tuple[Moment, ...]
    videos: int
    windows: int
    decoded: int
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of W neighbouring windows: `spans (W, 2)` in seconds, `what (W, S, E)`."""

    spans: np.ndarray
    what: np.ndarray


class Searcher:
    """Looks at videos with a model whose classes are named in words, and finds what fits other words.

    Args:
        predictor: The model; what it sees is computed by a copy, prepared for its device.
        window_s: Length of a window in seconds.
        stride_s: Seconds between their starts; half a window by default.
        keep: Folder of what was seen, one file a video; None keeps nothing. It goes with one model and one
            kind of windows.

    Raises:
        InvalidSetting: If the model's classes are not named in words, window or stride make no sense, or the
            folder holds what another model saw or other windows.
        UnwritableFile: If the folder refuses.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        window_s: float = WINDOW_S,
        stride_s: float | None = None,
        keep: Path | None = None,
    ) -> None:
        self._compare = _comparing(predictor).compare
        self._predictor = predictor
        self.window_s = window_s
        self.stride_s = window_s / 2 if stride_s is None else stride_s
        windows(self.window_s, self.window_s, self.stride_s)  # refused before the folder is tied to them
        self._keep = keep
        self._look: nn.Module | None = None
        if keep is not None:
            make_folder(keep)
            sweep(keep)
            settings = {"model": sight_digest(predictor), "window": self.window_s, "stride": self.stride_s}
            claim_settings(keep / SETTINGS, settings, output=keep)

    def search(
        self,
        words_E: Tensor,
        sources: Sequence[str],
        *,
        top: int = 10,
        advance: Callable[[int, int], None] = lambda done, total: None,
    ) -> Found:
        """The moments of videos that fit words best.

        No more than a few windows of a video are in memory, beside a number for each of its windows.

        Args:
            words_E: Embedding of the words (see `models.embed_query`).
            sources: Paths and URLs.
            top: Number of moments at most.
            advance: Told after each video how many of how many are done.

        Raises:
            NotFinite: If what the model sees is not a number.
            UnwritableFile: If what was seen cannot be kept.
        """
        ranking = _Ranking(top)
        decoded = 0
        for done, source in enumerate(sources, start=1):
            try:
                decoded += self._rank(source, words_E, ranking)
            except (VideoError, InvalidAnnotation, InvalidClip) as error:
                ranking.skipped.append(Skipped(source, str(error)))
            advance(done, len(sources))
        return ranking.found(decoded)

    def _likeness(self, words_E: Tensor, seen: Iterable[Seen]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return likeness(self._compare, words_E, seen, self._predictor.compute.device)

    def _rank(self, source: str, words_E: Tensor, ranking: _Ranking) -> bool:
        """Add the moments of a video; whether it had to be decoded."""
        place = None if self._keep is None else self._keep / _name(source)
        if place is not None and is_file(place):
            try:
                check_kept(place)
                ranking.add(source, self._likeness(words_E, read_kept(place)))
                return False
            except InvalidAnnotation as error:
                log.warning("%s is looked at again: %s", source, error)
        fresh = self._watch(source)
        ranking.add(
            source, self._likeness(words_E, fresh if place is None else _keeping(fresh, place, source))
        )
        return True

    def _watch(self, source: str) -> Iterator[Seen]:
        """What is seen of a video's windows, a few at a time."""
        predictor = self._predictor
        coming = window_clips(
            source, predictor.specs, self.window_s, self.stride_s, Views(), predictor.opening
        )
        while batch := list(islice(coming, _BATCH)):
            x_BTCHW = torch.stack([stack(window.clips[0])[0] for window in batch])
            what = self._sight(x_BTCHW).cpu().half()
            if not what.isfinite().all():
                raise NotFinite(
                    f"What {predictor.name} sees of {source} is not a number; check its weights, or try "
                    "precision fp32."
                )
            yield Seen(np.array([window.span for window in batch]), what.numpy())

    def _sight(self, x_BTCHW: Tensor) -> Tensor:
        predictor, spec = self._predictor, self._predictor.spec
        compute = predictor.compute
        if self._look is None:
            self._look = prepared_copy(_Look(_comparing(predictor)), predictor.module.card.name, compute)
        ready = MODALITIES.get(spec.modality).normalise(x_BTCHW.to(compute.device), spec, torch.float32)
        threads = predictor.threads(len(x_BTCHW))
        with torch.inference_mode(), compute.autocast(), computing_with(threads):
            what_BSE: Tensor = self._look(ready).float()
        return what_BSE


def search_kept(
    predictor: Predictor,
    words_E: Tensor,
    folder: Path,
    *,
    top: int = 10,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """As `Searcher.search`, of all videos of which a folder tells what was seen; none need be there any more.

    Raises:
        InvalidSetting: If it is no such folder, or another model saw what it holds.
    """
    compare = _comparing(predictor).compare
    if not is_file(folder / SETTINGS):
        raise InvalidSetting(f"{folder} is no folder that a search kept what was seen in (its --out).")
    settings = read_json(folder / SETTINGS, InvalidSetting)
    if not isinstance(settings, dict) or settings.get("model") != sight_digest(predictor):
        raise InvalidSetting(
            f"What {folder} holds was seen by another model than {predictor.name}; search with that one, or "
            "look at the videos again into another folder."
        )
    files = sorted(folder.glob(f"*{SUFFIX}"))
    ranking = _Ranking(top)
    for done, path in enumerate(files, start=1):
        try:
            source = check_kept(path)
            ranking.add(source, likeness(compare, words_E, read_kept(path), predictor.compute.device))
        except InvalidAnnotation as error:
            ranking.skipped.append(Skipped(str(path), str(error)))
        advance(done, len(files))
    return ranking.found(0)


def sight_digest(predictor: Predictor) -> str:
    """A short digest of what a model's sight depends on: all but its classes."""
    heads = tuple(f"net.{path}." for path in predictor.module.card.head)
    state = predictor.module.state_dict()
    return digest_of(predictor.specs, (), {k: v for k, v in state.items() if not k.startswith(heads)})


def likeness(
    compare: Callable[[Tensor, Tensor], Tensor], words_E: Tensor, seen: Iterable[Seen], device: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Spans `(W, 2)` and how alike each window and the words are `(W,)`, some windows at a time.

    Raises:
        InvalidAnnotation: If what was seen cannot be compared with the words.
    """
    words_1E = words_E.to(device).unsqueeze(0)
    for part in seen:
        if part.what.shape[-1] != len(words_E):
            raise _incomparable(f"{part.what.shape[-1]} numbers where words have {len(words_E)}")
        what_WSE = torch.from_numpy(part.what.astype(np.float32)).to(device)
        with torch.inference_mode():
            similarity_W = compare(what_WSE, words_1E)[:, 0].cpu().numpy()
        if not np.isfinite(similarity_W).all():
            raise _incomparable("no finite cosines")
        yield part.spans, similarity_W


def apart(spans_W2: np.ndarray, similarity_W: np.ndarray, most: int) -> list[int]:
    """The most similar windows, the best first, of which none overlaps a better one."""
    free = np.ones(len(spans_W2), bool)
    chosen: list[int] = []
    for i in np.argsort(-similarity_W, kind="stable").tolist():
        if free[i]:
            chosen.append(i)
            start, end = spans_W2[i]
            free &= (spans_W2[:, 0] >= end - _TOUCH_S) | (spans_W2[:, 1] <= start + _TOUCH_S)
        if len(chosen) == most:
            break
    return chosen


def check_kept(path: Path) -> str:
    """The video of which a file tells what was seen.

    Raises:
        InvalidAnnotation: If it is damaged, or something else.
    """
    file_size(path, InvalidAnnotation)  # opening a pipe would wait for whoever writes into it
    try:
        entries = entries_of(path)
        version = int(read_entry(path, entries["version"]))
        source = str(read_entry(path, entries["source"]))
        blocks = int(read_entry(path, entries["blocks"]))
        parts = (f"{what}_{i}" for i in range(blocks) for what in ("spans", "seen"))
        whole = blocks > 0 and all(part in entries for part in parts)
    except BROKEN as error:
        raise _damaged(path, error) from error
    if version != VERSION or not whole:
        raise _damaged(path, BrokenArchive(f"it has version {version}"))
    return source


def read_kept(path: Path) -> Iterator[Seen]:
    """What was seen of a video, as it was written.

    Raises:
        InvalidAnnotation: If the file is damaged.
    """
    try:
        entries = entries_of(path)
        for i in range(int(read_entry(path, entries["blocks"]))):
            seen = Seen(read_entry(path, entries[f"spans_{i}"]), read_entry(path, entries[f"seen_{i}"]))
            if seen.spans.shape != (len(seen.what), 2) or seen.what.ndim != 3 or not seen.what.size:
                raise BrokenArchive(f"its block {i} has the shapes {seen.spans.shape} and {seen.what.shape}")
            if not (np.isfinite(seen.spans).all() and np.isfinite(seen.what).all()):
                raise BrokenArchive(f"its block {i} holds no finite numbers")
            yield seen
    except BROKEN as error:
        raise _damaged(path, error) from error


def _keeping(seen: Iterable[Seen], place: Path, source: str) -> Iterator[Seen]:
    """The same, written on the way; the file is there when all of it is, and what was seen of the video
    before it changed is not any more."""
    shown = local_path(source)
    with replacing(place) as scratch, zipfile.ZipFile(scratch, "w") as archive:
        count = 0
        for part in seen:
            _write(archive, f"spans_{count}", part.spans)
            _write(archive, f"seen_{count}", part.what)
            count += 1
            yield part
        _write(archive, "blocks", np.array(count))
        _write(archive, "source", np.array(str(source if shown is None else shown.absolute())))
        _write(archive, "version", np.array(VERSION))
    before_content = place.name.removesuffix(SUFFIX).rpartition(".")[0]
    for file in place.parent.glob(f"{glob.escape(before_content)}.*{SUFFIX}"):
        if file != place:
            file.unlink(missing_ok=True)


def _write(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _damaged(path: Path, error: Exception) -> InvalidAnnotation:
    return InvalidAnnotation(
        f"{path} does not tell what was seen of a video ({error}); delete it and look at the video again."
    )


def _incomparable(what: str) -> InvalidAnnotation:
    return InvalidAnnotation(
        f"What was seen of it is not of this model ({what}); look at the video again, into another folder."
    )


def _name(source: str) -> str:
    """Name of the file of a video: by its place, and by its content, which may change."""
    path = local_path(source)
    place, content = source, ""
    if path is not None:
        place = str(path.absolute())
        with suppress(OSError):  # reading it says what is wrong
            content = content_key(path)
    return f"{(path or Path(source)).stem[:40]}.{_key(place)}.{_key(content)}{SUFFIX}"


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _comparing(predictor: Predictor) -> ComparesWithWords:
    net = predictor.module.net
    if not isinstance(net, ComparesWithWords):
        raise InvalidSetting(
            f"{predictor.module.card.name} does not compare what it sees with words; search with a model of "
            "clip, siglip or xclip (see `kinesphere import --classes`)."
        )
    return net


class _Look(nn.Module):
    """What a network sees, as a module of its own, which can be prepared for inference."""

    def __init__(self, net: ComparesWithWords) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        return self.net.look(x_BTCHW)


class _Ranking:
    """The best moments of the videos so far."""

    def __init__(self, top: int) -> None:
        if top < 1:
            raise InvalidSetting(f"A search lists at least one moment; got top={top}.")
        self._top = top
        self._moments: list[Moment] = []
        self._videos = self._windows = 0
        self.skipped: list[Skipped] = []

    def add(self, source: str, seen: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        parts = list(seen)
        spans_W2, similarity_W = (np.concatenate(each) for each in zip(*parts, strict=True))
        self._videos += 1
        self._windows += len(spans_W2)
        fresh = [
            Moment(source, (float(spans_W2[i, 0]), float(spans_W2[i, 1])), float(similarity_W[i]))
            for i in apart(spans_W2, similarity_W, self._top)
        ]
        self._moments = heapq.nlargest(self._top, [*self._moments, *fresh], key=lambda m: m.similarity)

    def found(self, decoded: int) -> Found:
        return Found(tuple(self._moments), self._videos, self._windows, decoded, tuple(self.skipped))
