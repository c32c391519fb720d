"""Timestamps as a whole: what a container says of each packet is believed only where its neighbours agree.

Recordings that were joined byte by byte start their clock again; clocks of 32 or 33 bits run over; single
timestamps are missing, repeat, step back, or lie minutes off. The order in which packets lie in the file is
the witness: decoding goes by it, and codecs move a frame by a few places only. Packets get new stamps
that are consistent; in a file without flaws nothing is touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SCALE = 64
"""New stamps are in this fraction of a tick, so that there is slack between two neighbours."""

# Places by which a codec may move a frame between decoding and display.
_REORDER = 32
_BLOCK = 16
# Neighbours on either side that a timestamp is held against, and those that may be off together.
_AROUND, _FEW = 8, 2
# From here on one or two frames at an end, far from all others, are taken for wrong timestamps.
_FAR_S, _FAR_TIMES = 60.0, 20.0
# A clock that is broadcast and jumps ahead by more was set anew.
_JUMP_S = 10.0
_WRAPS = (2**32, 2**33)
# Beyond this a timestamp is noise.
_LARGEST = 2**52


@dataclass(frozen=True, eq=False)
class Stated:
    """What a container says of its packets that are shown, in the order of decoding.

    Attributes:
        pts: `(n,)` timestamps of display.
        dts: `(n,)` timestamps of decoding; the smallest integer where there is none.
        key: `(n,)` whether decoding can start there.
        known: `(n,)` whether there is a `pts`.
        tick_s: Seconds per tick.
        reorders: Whether the codec may show frames in another order.
        broadcast: Whether the container's clock may be set anew (MPEG streams).
    """

    pts: np.ndarray
    dts: np.ndarray
    key: np.ndarray
    known: np.ndarray
    tick_s: float
    reorders: bool
    broadcast: bool

    @property
    def trusted(self) -> np.ndarray:
        """Key packets that show after all before them; where nearly every packet claims to be one, none."""
        return self.key & (not self.reorders or self.key.mean() <= 0.5)


@dataclass(frozen=True, eq=False)
class Repaired:
    """New stamps.

    Attributes:
        stamps: `(n,)` int64, one per packet that is shown, in units of `1 / SCALE` tick, all different.
        replaced: `(n,)` whose timestamps contradicted their neighbours.
        restarts: Positions of the packets at which the clock started again.
        wrapped: How many times it ran over, which is no flaw.
    """

    stamps: np.ndarray
    replaced: np.ndarray
    restarts: tuple[int, ...]
    wrapped: int


def is_sound(stated: Stated) -> bool:
    """Whether the timestamps contradict neither the order of packets nor one another."""
    pts, dts = stated.pts, stated.dts
    if not stated.known.all():
        return False
    order = np.argsort(pts, kind="stable")
    ticks = pts[order]
    steps = np.diff(ticks)
    if (steps <= 0).any() or np.abs(ticks[[0, -1]]).max() > _LARGEST:
        return False
    places = np.abs(order - np.arange(len(order)))
    if places.max() > (_REORDER if stated.reorders else 0):
        return False
    begins = np.flatnonzero(stated.trusted[1:])
    if (np.maximum.accumulate(pts)[begins] > pts[begins + 1]).any():
        return False
    if (np.diff(dts[np.abs(dts) < _LARGEST]) < 0).any() and stated.broadcast:
        return False
    if stated.broadcast and (steps * stated.tick_s > _JUMP_S).any():
        return False
    return not any(_isolated(steps, stated.tick_s))


def repaired(stated: Stated) -> Repaired:
    """Consistent stamps."""
    pts, tick_s, reorders = stated.pts, stated.tick_s, stated.reorders
    good = stated.known & (np.abs(pts) < _LARGEST)
    step = _usual_step(pts[good])
    margin = (_REORDER // 2 + 1) * step if reorders else 0.0
    good &= ~_strangers(pts, good, max(margin, _AROUND * step))
    clock = pts.astype(np.float64)
    scan = _Placing(stated, clock, step, margin)
    scan.run(np.flatnonzero(good))
    good[scan.astray] = False
    replaced = ~good
    replaced[scan.lifted] = True
    replaced[_pull_in(clock, good, step, tick_s)] = True
    _fill(clock, good, step, reorders)
    stamps, moved = _spread(clock, step)
    return Repaired(stamps, replaced | moved, tuple(scan.restarts), scan.wrapped)


def _pull_in(clock: np.ndarray, good: np.ndarray, step: float, tick_s: float) -> np.ndarray:
    """Put the few frames that lie far from all others beside them, in place; the packets concerned.

    Those that are decoded at that end as well keep their order; the others are good no longer.
    """
    chosen = np.flatnonzero(good)
    order = chosen[np.argsort(clock[chosen], kind="stable")]
    first, last = _isolated(np.diff(clock[order]), tick_s)
    early, late, rest = order[:first], order[len(order) - last :], order[first : len(order) - last]
    if first:
        clock[early] = clock[rest[0]] - step * np.arange(first, 0, -1)
        good[early[early >= _AROUND]] = False
    if last:
        clock[late] = clock[rest[-1]] + step * np.arange(1, last + 1)
        good[late[late < len(good) - _AROUND]] = False
    return np.concatenate([early, late])


def _usual_step(pts: np.ndarray) -> float:
    """Ticks between neighbours on screen, usually: among those that lie together in the file."""
    blocks = [np.diff(np.unique(pts[i : i + _BLOCK])) for i in range(0, len(pts), _BLOCK)]
    steps = np.concatenate(blocks) if blocks else np.empty(0)
    return float(np.percentile(steps, 50, method="lower")) if len(steps) else 1.0


def _isolated(steps: np.ndarray, tick_s: float) -> tuple[int, int]:
    """How many frames at the start and at the end lie far from all others, by the steps in between."""
    if len(steps) < 2:
        return 0, 0
    inner = steps[_FEW:-_FEW] if len(steps) > 3 * _FEW else np.sort(steps)[:-1]
    least = max(_FAR_S / tick_s, _FAR_TIMES * float(inner.max()))
    few = min(_FEW, len(steps) // 2)
    first = max((n for n in range(1, few + 1) if steps[n - 1] > least), default=0)
    last = max((n for n in range(1, few + 1) if steps[-n] > least), default=0)
    return first, last


def _strangers(pts: np.ndarray, good: np.ndarray, margin: float) -> np.ndarray:
    """`(n,)`: packets that lie off while those before and after them agree."""
    off = np.zeros(len(pts), bool)
    places = np.flatnonzero(good)
    if len(places) < 2 * _FEW + 2:
        return off
    values = pts[places].astype(np.float64)
    edge = np.full(_AROUND, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([edge, values, edge]), _AROUND)
    count = len(values)
    # The first and the last few have neighbours on one side only; the ends are looked at by themselves.
    inner = slice(_FEW + 1, count - _FEW - 1)
    before = np.nanmedian(windows[:count][inner], axis=1)
    after = np.nanmedian(windows[_AROUND + 1 :][inner], axis=1)
    here = values[inner]
    steady = before < after
    off[places[inner]] = steady & ((here > after + margin) | (here < before - margin))
    return off


class _Placing:
    """Puts recordings whose clock starts again one after another.

    Attributes:
        restarts: Packets at which the clock starts again.
        astray: Single packets that step back.
        lifted: Key frames whose timestamp lies before that of a frame before them.
        wrapped: How many times the clock ran over.
    """

    def __init__(self, stated: Stated, clock: np.ndarray, step: float, margin: float) -> None:
        self.restarts: list[int] = []
        self.astray: list[int] = []
        self.lifted: list[int] = []
        self.wrapped = 0
        self._clock, self._key, self._step, self._margin = clock, stated.trusted, step, margin
        self._jump = _JUMP_S / stated.tick_s
        self._broadcast = stated.broadcast
        self._pts = clock.copy()
        self._dts = np.where(np.abs(stated.dts) < _LARGEST, stated.dts, np.nan).astype(np.float64)
        self._shift, self._high = 0.0, -np.inf
        # The packet that lies highest, and what was highest before it.
        self._top, self._second = -1, -np.inf

    def run(self, places: np.ndarray) -> None:
        """Write the times of the packets at `places`, ascending, into the clock."""
        for i, place in enumerate(places.tolist()):
            near = places[i : i + 2 * _FEW + 1]
            past = places[max(0, i - _REORDER) : i]
            if i and self._begins_anew(near, past):
                self._join(place, float(self._pts[near].min()))
            own = self._pts[place] + self._shift
            if self._margin and self._key[place] and own <= self._high:
                own = self._after_all(near)
                self.lifted.append(place)
            if not self._margin and own <= self._high:
                too_far = self._high - self._second > 1.5 * self._step
                if not (too_far and own > self._second):
                    self.astray.append(place)
                    continue
                self.astray.append(self._top)
                self._high = self._second
            self._clock[place] = own
            if own > self._high:
                self._top, self._second, self._high = place, self._high, own

    def _after_all(self, near: np.ndarray) -> float:
        """A time for the key frame `near[0]` behind all before it; before the rest where there is slack."""
        slack = (self._pts[near[1:]] + self._shift).min(initial=np.inf) - self._high
        return float(self._high + (min(self._step, slack / 2) if slack > 0 else self._step))

    def _begins_anew(self, near: np.ndarray, past: np.ndarray) -> bool:
        """Whether packet `near[0]` begins another recording: it and those after it lie elsewhere."""
        coming = self._pts[near] + self._shift
        own, following = coming[0], coming[1:]
        if self._broadcast and coming.min() - self._high > self._jump:
            return True
        if own > self._high:
            return False
        if not len(following):
            return bool(self._key[near[0]] or own < self._high - self._margin)
        later = float(np.median(following))
        if self._key[near[0]]:
            # A key frame shows after all that lie before it in the file.
            if later <= self._high or (self._margin and own < self._high - self._margin):
                return True
            # Clocks that overlap by a few frames: more than one of either recording lies among the other's.
            return bool(self._margin) and bool(
                following.min() <= self._high and own <= np.sort(self._clock[past])[-2:].min()
            )
        if own < self._high - self._margin and later < self._high - self._margin:
            return True
        decoding = self._dts[near]
        return self._broadcast and bool((decoding[:_FEW] < self._dts[past[-1]]).all())

    def _join(self, place: int, begins: float) -> None:
        begins += self._shift
        wrap = next((w for w in _WRAPS if 0 < begins + w - self._high <= self._jump), 0)
        self._shift += wrap or self._high + self._step - begins
        if wrap:
            self.wrapped += 1
        else:
            self.restarts.append(place)


def _fill(clock: np.ndarray, good: np.ndarray, step: float, reorders: bool) -> None:
    """Give those that are not good a time among their neighbours, in place."""
    if not good.any():
        clock[:] = np.arange(len(clock)) * step
        return
    anchors = np.flatnonzero(good)
    bad = np.flatnonzero(~good)
    # The next of those that were good from the start; all before a place are good when its turn comes.
    followers = np.searchsorted(anchors, bad).tolist()
    for place, follower in zip(bad.tolist(), followers, strict=True):
        window = slice(max(0, place - _REORDER), place + _REORDER + 1)
        near = np.sort(clock[window][good[window]])
        before, after = clock[max(0, place - 1) : place], clock[anchors[follower : follower + 1]]
        run = int(anchors[follower] if follower < len(anchors) else len(clock)) - place
        if not len(before):
            # What is decoded first is shown first.
            clock[place] = (near.min() if len(near) else after[0]) - run * step
            good[place] = True
            continue
        expected = float(np.mean(np.concatenate([before, after])))
        holes = np.flatnonzero(np.diff(near) > 1.5 * step) if reorders else np.empty(0, int)
        holes = holes[np.abs(near[holes] + step - expected) <= _REORDER // 2 * step]
        if len(holes):
            # The place that nobody else has, and the nearest such.
            hole = holes[np.abs(near[holes] + step - expected).argmin()]
            clock[place] = near[hole] + min(step, (near[hole + 1] - near[hole]) / 2)
        elif not len(after) or (reorders and window.stop >= len(clock)):
            clock[place] = (near.max() if len(near) else before[0]) + step
        else:
            clock[place] = before[0] + min(step, (after[0] - before[0]) / (run + 1))
        good[place] = True


def _spread(clock: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Different stamps for all in the order of their times, and which had to move for that."""
    order = np.argsort(clock, kind="stable")
    scaled = np.round(clock[order] * SCALE).astype(np.int64)
    result = scaled.copy()
    repeats = np.flatnonzero(np.diff(scaled, prepend=scaled[0] - 1) == 0)
    for i in repeats.tolist():
        following = int(np.searchsorted(scaled, scaled[i], side="right"))
        slack = round(step * SCALE)
        if following < len(scaled):
            slack = int(scaled[following] - result[i - 1]) // 2
        result[i] = result[i - 1] + max(1, min(slack, round(step * SCALE)))
    result = np.maximum.accumulate(result - np.arange(len(result))) + np.arange(len(result))
    moved = np.zeros(len(clock), bool)
    moved[order[result != scaled]] = True
    stamps = np.empty(len(clock), np.int64)
    stamps[order] = result
    return stamps, moved
