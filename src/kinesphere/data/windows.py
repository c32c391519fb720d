"""Long recordings with timed labels become windows, whose labels follow from a stated rule.

Times are compared as whole microseconds, so that a label that ends where a window begins is not in it, and a
window that is half covered is not lost to rounding.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

from kinesphere.annotations.timed import TimedLabel, TimedLabels
from kinesphere.clips.sampling import windows
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import normal
from kinesphere.core.registry import nearest
from kinesphere.core.skipped import Skipped
from kinesphere.data.sample import Sample

OverlapOf = Literal["window", "annotation"]
Several = Literal["largest", "all"]
LastWindow = Literal["end", "short", "drop"]
LABEL_COLUMN = "label"
_MICRO = 1_000_000
# A label that ends with the recording may end a frame or a rounded second behind it.
_BEHIND_S = 0.5


@dataclass(frozen=True)
class WindowRule:
    """How recordings are cut, and which labels a window takes.

    Attributes:
        length_s: Length of a window in seconds; a shorter recording is one window.
        stride_s: Seconds between the starts of windows, at most the length.
        least_overlap: Least fraction that a label covers, in (0, 1].
        background: Class of windows that no label touches, in recordings with an annotation of the class;
            None leaves them out, since what nobody annotated is not known to show nothing.
        overlap_of: Of what `least_overlap` is a fraction: of the `window`, all spans of a class together, or
            of the `annotation`, a single one, or of the window where that is shorter.
        several: What becomes of several labels that reach the least overlap: the one that covers most of the
            window (the earlier one, then the first by name, where two cover as much), or `all`.
        last: The last window: ends with the recording (`end`), as in prediction; is what a whole stride
            leaves, and `short`; or is left out (`drop`).

    Raises:
        InvalidSetting: If a value is out of range.
    """

    length_s: float = 10.0
    stride_s: float = 5.0
    least_overlap: float = 0.5
    background: str | None = None
    overlap_of: OverlapOf = "window"
    several: Several = "largest"
    last: LastWindow = "end"

    def __post_init__(self) -> None:
        windows(self.length_s, self.length_s, self.stride_s)
        if not 0 < self.least_overlap <= 1:
            raise InvalidSetting(f"The least overlap is above 0 and at most 1; got {self.least_overlap}.")
        for name, kinds in (("overlap_of", OverlapOf), ("several", Several), ("last", LastWindow)):
            if (value := getattr(self, name)) not in get_args(kinds):
                raise InvalidSetting(f"{name} is {' or '.join(get_args(kinds))}; got {value!r}.")
        if self.background is not None and not normal(self.background):
            raise InvalidSetting("The background class needs a name; leave it out for none.")

    def sentence(self) -> str:
        """The rule in words, for reports."""
        of = "the window" if self.overlap_of == "window" else "the annotation, or of the window if shorter"
        many = "the label with the largest overlap" if self.several == "largest" else "every label"
        rest = "left out" if self.background is None else f"{self.background!r}"
        return (
            f"windows of {self.length_s:g} s every {self.stride_s:g} s; {many} that covers at least "
            f"{self.least_overlap:g} of {of}; windows that no label touches are {rest}"
        )

    def spans(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """The windows of a recording, in order."""
        spans = windows(end_s, self.length_s, self.stride_s, start_s)
        shorter = spans[-1][1] - spans[-1][0] < self.length_s - 1e-6
        number = len(spans) - 1
        on_grid = abs(spans[-1][0] - (start_s + number * self.stride_s)) < 1e-6
        if not (self.last == "end" or (on_grid and not shorter)):
            left = (start_s + number * self.stride_s, spans[-1][1])
            spans = [*spans[:-1], *([left] if self.last == "short" else [])]
        return [(round(start, 6), round(end, 6)) for start, end in spans]


@dataclass(frozen=True)
class Windows:
    """What cutting recordings gave.

    Attributes:
        samples: Windows with a label in one column at least, in the order of recordings and time; the first
            column is `Sample.labels`, further ones are in `Sample.extra`.
        columns: Names of the columns of labels.
        annotations: Number of annotations per class in each column, before.
        counts: Number of windows per class in each column, after.
        untouched: Windows left out because no label touches them.
        undecided: Windows left out because labels touch them, none of which covers enough.
        unused: Annotations that label no window because they are too short, or beside a longer label.
        left_out: Annotations that label no window, and recordings that give none.
    """

    samples: tuple[Sample, ...]
    columns: tuple[str, ...]
    annotations: Mapping[str, Mapping[str, int]]
    counts: Mapping[str, Mapping[str, int]]
    untouched: int = 0
    undecided: int = 0
    unused: int = 0
    left_out: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class _Span:
    """One label of one annotation, in microseconds."""

    label: str
    start: int
    end: int
    number: int


@dataclass
class _Column:
    """What the annotations of one column say of the windows of one recording."""

    chosen: list[list[str]]
    touched: list[bool]
    pieces: list[list[_Span]]
    used: set[tuple[int, str]] = field(default_factory=set)


def windows_of(
    labels: TimedLabels,
    durations_s: Mapping[str, float],
    rule: WindowRule = WindowRule(),
    tiers: Mapping[str, str | None] | None = None,
    *,
    starts_s: Mapping[str, float] | None = None,
    paths: Mapping[str, Path] | None = None,
    groups: Mapping[str, str] | None = None,
) -> Windows:
    """Cut recordings into windows.

    A label that holds `|` is several. Where there are further columns, `parent` (with several of them,
    `COLUMN_parent`) is the label of the first column that overlaps most, within the window, with what gave
    the further label: the movement that a grade belongs to.

    Args:
        labels: Timed labels.
        durations_s: When each recording ends, in seconds; those without an entry are left out and listed.
        rule: How to cut, and which label counts.
        tiers: Tier of each column of labels, the first that of the class; None takes all tiers.
        starts_s: When the first frame of a recording begins, where that is not 0.
        paths: File of each recording; its name otherwise.
        groups: Group of each recording, such as its performer; the recording itself otherwise.

    Raises:
        InvalidAnnotation: If there is no such tier.
        InvalidSetting: If no column is given.
    """
    tiers = {LABEL_COLUMN: None} if tiers is None else tiers
    if not tiers:
        raise InvalidSetting("Windows need one column of labels at least; name a tier.")
    _check_tiers(labels, tiers)
    result = _Result(tuple(tiers), rule)
    by_video: dict[str, list[TimedLabel]] = defaultdict(list)
    for each in labels.labels:
        by_video[each.video].append(each)
    for video in labels.videos:
        end_s, start_s = durations_s.get(video), (starts_s or {}).get(video, 0.0)
        if end_s is None:
            result.left_out.append(Skipped(video, "its length is not known, because its video is not there"))
            continue
        result.video, result.path = video, (paths or {}).get(video, Path(video))
        result.group = (groups or {}).get(video, video)
        result.cut(by_video[video], rule.spans(start_s, end_s), end_s, tiers)
    return result.finished()


def _check_tiers(labels: TimedLabels, tiers: Mapping[str, str | None]) -> None:
    known = Counter(each.tier for each in labels.labels)
    for tier in tiers.values():
        if tier is not None and tier not in known:
            close = nearest(tier, known)
            hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
            listed = ", ".join(f"{name!r} ({count})" for name, count in known.most_common(20))
            raise InvalidAnnotation(f"There is no tier {tier!r}.{hint} Tiers with annotations: {listed}.")


class _Result:
    """Samples and counts while they grow."""

    def __init__(self, columns: tuple[str, ...], rule: WindowRule) -> None:
        self.columns, self.rule = columns, rule
        self.samples: list[Sample] = []
        self.annotations: dict[str, Counter[str]] = {name: Counter() for name in columns}
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in columns}
        self.left_out: list[Skipped] = []
        self.untouched = self.undecided = self.unused = 0
        self.video, self.path, self.group = "", Path(), ""

    def cut(
        self,
        labels: Sequence[TimedLabel],
        spans: Sequence[tuple[float, float]],
        end_s: float,
        tiers: Mapping[str, str | None],
    ) -> None:
        """Add the windows of one recording."""
        found, video = {}, self.video
        if not spans:
            self.left_out.append(Skipped(video, f"shorter than a window of {self.rule.length_s:g} s"))
        for name, tier in tiers.items():
            own = [each for each in labels if tier is None or each.tier == tier]
            parts = list(_parts(own))
            self.annotations[name].update(part.label for part in parts)
            found[name] = _labelled(parts, spans, self.rule)
            for part in parts:
                if (part.number, part.label) not in found[name].used:
                    self.left_out.append(_unused(video, part, end_s))
                    self.unused += part.start < min(part.end, end_s * _MICRO)
                elif part.end > (end_s + _BEHIND_S) * _MICRO:
                    reason = f"ends after the recording, which is {end_s:g} s long"
                    self.left_out.append(Skipped(_named(video, part), reason, is_failure=False))
        first = found[self.columns[0]]
        if spans and not any(first.touched):
            # Somebody who annotated nothing of a recording has hardly looked whether it shows nothing.
            reason = "no annotation of the class lies in it, so none of its windows is background"
            self.left_out.append(Skipped(video, reason, is_failure=False))
        elif self.rule.background is not None:
            for chosen, touched in zip(first.chosen, first.touched, strict=True):
                if not touched:
                    chosen.append(normal(self.rule.background))
        for i, span in enumerate(spans):
            self._add(span, {name: column.chosen[i] for name, column in found.items()}, found, i)

    def _add(
        self,
        span: tuple[float, float],
        chosen: Mapping[str, list[str]],
        found: Mapping[str, _Column],
        at: int,
    ) -> None:
        if not any(chosen.values()):
            touched = any(column.touched[at] for column in found.values())
            self.undecided += touched
            self.untouched += not touched
            return
        for name, labels in chosen.items():
            self.counts[name].update(labels)
        first, *further = self.columns
        extra = [(name, "|".join(chosen[name])) for name in further]
        for name in further:
            column = "parent" if len(further) == 1 else f"{name}_parent"
            extra.append((column, _parent(chosen[name], found[name].pieces[at], found[first].pieces[at])))
        self.samples.append(
            Sample(
                f"{self.video}@{span[0]}-{span[1]}",
                self.path,
                tuple(chosen[first]),
                span,
                self.group,
                extra=tuple(extra),
            )
        )

    def finished(self) -> Windows:
        """What was found, classes in alphabetical order."""
        annotations, counts = (
            {name: dict(sorted(each.items())) for name, each in counted.items()}
            for counted in (self.annotations, self.counts)
        )
        return Windows(
            tuple(self.samples), self.columns, annotations, counts, self.untouched, self.undecided,
            self.unused, tuple(self.left_out),
        )  # fmt: skip


def _parts(labels: Iterable[TimedLabel]) -> Iterator[_Span]:
    """The single labels of annotations, on the clock of whole microseconds."""
    for number, each in enumerate(labels):
        for name in dict.fromkeys(normal(part) for part in each.label.split("|")):
            if name:
                start, end = (round(time_s * _MICRO) for time_s in (each.start_s, each.end_s))
                yield _Span(name, start, end, number)


def _labelled(parts: Sequence[_Span], spans: Sequence[tuple[float, float]], rule: WindowRule) -> _Column:
    """The labels of every window."""
    starts = [round(start_s * _MICRO) for start_s, _ in spans]
    ends = [round(end_s * _MICRO) for _, end_s in spans]
    inside: list[list[_Span]] = [[] for _ in spans]
    for part in parts:
        for i in range(bisect_right(ends, part.start), bisect_left(starts, part.end)):
            if part.end > part.start:
                inside[i].append(part)
    found = _Column([], [bool(each) for each in inside], [])
    least = Fraction(rule.least_overlap).limit_denominator(_MICRO)
    for start, end, present in zip(starts, ends, inside, strict=True):
        by_label: dict[str, list[_Span]] = defaultdict(list)
        for part in present:
            clipped = _Span(part.label, max(part.start, start), min(part.end, end), part.number)
            by_label[part.label].append(clipped)
        lengths = {part.number: part.end - part.start for part in present}
        covers = {name: _covered(pieces) for name, pieces in by_label.items()}
        enough = [
            name
            for name, pieces in by_label.items()
            if (
                covers[name] >= least * (end - start)
                if rule.overlap_of == "window"
                else any(p.end - p.start >= least * min(lengths[p.number], end - start) for p in pieces)
            )
        ]
        enough.sort(key=lambda name: (-covers[name], min(p.start for p in by_label[name]), name))
        chosen = enough[:1] if rule.several == "largest" else sorted(enough)
        found.chosen.append(chosen)
        pieces = [piece for name in by_label for piece in by_label[name]]
        found.pieces.append(pieces)
        found.used.update((piece.number, piece.label) for piece in pieces if piece.label in chosen)
    return found


def _covered(pieces: Iterable[_Span]) -> int:
    """Microseconds that spans cover together."""
    total, reached = 0, -1
    for piece in sorted(pieces, key=lambda piece: piece.start):
        total += max(0, piece.end - max(piece.start, reached))
        reached = max(reached, piece.end)
    return total


def _parent(labels: Sequence[str], pieces: Sequence[_Span], above: Sequence[_Span]) -> str:
    """The label among `above` that lies most over the pieces of some labels; empty where none does."""
    overlap: Counter[str] = Counter()
    for piece in pieces:
        if piece.label in labels:
            for other in above:
                overlap[other.label] += max(0, min(piece.end, other.end) - max(piece.start, other.start))
    best = max(overlap.values(), default=0)
    return min((name for name, count in overlap.items() if count == best), default="") if best else ""


def _named(video: str, part: _Span) -> str:
    return f"{video}, {part.label!r} at {part.start / _MICRO:g}–{part.end / _MICRO:g} s"


def _unused(video: str, part: _Span, end_s: float) -> Skipped:
    """An annotation that labels no window, and why."""
    name = _named(video, part)
    if part.end <= part.start:
        return Skipped(name, "has no length", is_failure=False)
    if part.start >= end_s * _MICRO:
        return Skipped(name, f"lies after the recording, which is {end_s:g} s long")
    return Skipped(name, "labels no window: too short, or beside a longer label", is_failure=False)
