"""One video of one movement: planned from its place in the data set, rendered from its plan."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kinesphere.clips.pinhole import framing, tilted, view_name
from kinesphere.core.errors import InvalidSetting
from kinesphere.synthetic.body.body import Array
from kinesphere.synthetic.body.performer import Performer, draw_performer
from kinesphere.synthetic.motion.grades import BY_NAME, Evaluation
from kinesphere.synthetic.motion.motion import Movement, ObjectKind, SceneObject
from kinesphere.synthetic.motion.primitive import MOVEMENTS, Performance
from kinesphere.synthetic.motion.variety import enact
from kinesphere.synthetic.render.render import CameraEffects, Figure, Rendered, Stage, render
from kinesphere.synthetic.scene.scene import KINDS, Scene, draw_scene
from kinesphere.synthetic.scene.textures import triple
from kinesphere.synthetic.settings import SPLITS, MannequinSettings

_REACTIONS = ("stand", "stand", "stand", "walk backwards", "walk", "reach")
_PERFORMER, _SCENE, _CLIP = 1, 2, 3  # streams of random numbers under one seed


@dataclass(frozen=True)
class Shot:
    """Who is seen in one video, where, from which side and for how long.

    Attributes:
        id: Path of the video within its folder, without suffix.
        label: Class.
        split: `"train"`, `"val"` or `"test"`.
        performer, scene: Numbers within the data set.
        duration_s: Length.
        azimuth_deg: Bearing of the camera from the performer's front, left positive.
        entropy: Seed of everything else in this video.
    """

    id: str
    label: str
    split: str
    performer: int
    scene: int
    duration_s: float
    azimuth_deg: float
    entropy: tuple[int, ...]

    @property
    def view(self) -> str:
        """The side from which the camera sees the performer."""
        return view_name(self.azimuth_deg)

    def times(self, fps: float) -> Array:
        """When the frames are shown, (T,) seconds."""
        return np.arange(round(self.duration_s * fps)) / fps


@dataclass(frozen=True)
class ClipPlan(Shot):
    """What one video shows; a pure function of settings, class, split and number.

    Attributes:
        evaluation: Graded evaluations of the base movement that `label` names.
        is_occasion: Whether it is done on some occasion, which draws its own evaluations.
    """

    evaluation: Evaluation
    is_occasion: bool = False

    def grades(self) -> dict[str, tuple[str, float]]:
        """Level and value of each evaluation that applies to this movement."""
        names = () if self.is_occasion else MOVEMENTS.get(self.label).published
        values = {name: self.evaluation.value(name) for name in names}
        return {name: (BY_NAME[name].level(value), value) for name, value in values.items()}


def cast(settings: MannequinSettings, index: int) -> Performer:
    """Performer number `index` of a data set."""
    return draw_performer(f"performer{index:03d}", np.random.default_rng([settings.seed, _PERFORMER, index]))


def location(settings: MannequinSettings, index: int) -> Scene:
    """Scene number `index` of a data set; kinds take turns."""
    generator = np.random.default_rng([settings.seed, _SCENE, index])
    return draw_scene(f"scene{index:03d}", KINDS[index % len(KINDS)], generator)


def plan_clips(settings: MannequinSettings) -> Iterator[ClipPlan]:
    """The plans of all videos, split by split, class by class."""
    for split in SPLITS:
        for label in settings.classes:
            for number in range(settings.clip_count(label, split)):
                yield plan_clip(settings, label, split, number)


def plan_clip(settings: MannequinSettings, label: str, split: str, number: int) -> ClipPlan:
    """The plan of one video; it depends neither on how many videos there are nor, unless backgrounds are
    correlated with classes, on the other classes.

    Raises:
        InvalidSetting: If the settings have no such class, or the split no videos.
    """
    if label not in settings.classes or not settings.pool(split, settings.scenes):
        raise InvalidSetting(
            f"There is no video of class {label!r} in split {split!r} of this set; its classes are "
            f"{', '.join(settings.classes)}, its splits {settings.splits}."
        )
    entropy = (settings.seed, _CLIP, zlib.crc32(label.encode()), SPLITS.index(split), number)
    generator = np.random.default_rng(entropy)
    performers = settings.pool(split, settings.performers)
    # Each class goes round all performers before one returns.
    shift = int(np.random.default_rng(entropy[:-1]).integers(len(performers)))
    return ClipPlan(
        id=f"{split}_{label.replace(' ', '-')}_{number:04d}",
        label=label,
        split=split,
        performer=performers[(shift + number) % len(performers)],
        scene=_choose_scene(settings, label, split, generator),
        duration_s=float(generator.uniform(*settings.duration_s)),
        azimuth_deg=float(generator.uniform(-settings.view_deg, settings.view_deg)),
        evaluation=Evaluation.draw(MOVEMENTS.get(label).grades, generator),
        entropy=entropy,
        # Drawn last: sets of before stay as they are.
        is_occasion=bool(generator.random() < settings.occasions),
    )


def _choose_scene(settings: MannequinSettings, label: str, split: str, generator: np.random.Generator) -> int:
    """Any scene of the split, or, with the set probability, one of the kind that belongs to the class."""
    pool = settings.pool(split, settings.scenes)
    test = split == "test"
    correlation = settings.test_background_correlation if test else settings.background_correlation
    own_kind = settings.classes.index(label) % len(KINDS)
    own = [scene for scene in pool if scene % len(KINDS) == own_kind] or [pool[own_kind % len(pool)]]
    bound, free = own[int(generator.integers(len(own)))], pool[int(generator.integers(len(pool)))]
    return bound if generator.random() < correlation else free


def render_clip(plan: ClipPlan, settings: MannequinSettings) -> Rendered:
    """Draw the video of a plan."""
    generator = np.random.default_rng((*plan.entropy, 1))
    performer = cast(settings, plan.performer)
    if plan.is_occasion:
        return film(_on_occasion(performer, plan, generator), plan, settings, generator)
    movement = perform(plan.label, performer, plan.evaluation, plan.duration_s, generator)
    return film(_timed(performer, movement, plan, generator), plan, settings, generator)


def film(figure: Figure, shot: Shot, settings: MannequinSettings, generator: np.random.Generator) -> Rendered:
    """Draw a figure in the scene of a shot, with a camera that holds all of its way in the image."""
    scene, times = location(settings, shot.scene), shot.times(settings.fps)
    figures = [figure]
    seen = figure.placed(times)[0].positions
    if generator.random() < settings.bystanders:
        figures.append(_bystander(settings, shot, seen, generator))
    held = seen.reshape(-1, 3)
    # Nothing is drawn from the generator where there are no partners: sets of before stay as they are.
    if settings.partners and generator.random() < settings.partners:
        figures.append(_partner(settings, shot, seen, generator))
        held = np.concatenate([held, figures[-1].placed(times)[0].positions.reshape(-1, 3)])
    elevation = math.radians(float(generator.uniform(*settings.elevation_deg)))
    focal, margin = float(generator.uniform(1.2, 2.2)), float(generator.uniform(*settings.margin))
    azimuth = math.radians(shot.azimuth_deg)
    camera = framing(held, azimuth, elevation, focal, settings.size, margin)
    camera = tilted(camera, float(generator.normal(0, 0.015)) * settings.shake)
    offset = generator.uniform(-0.8, 0.8, 2)
    stage = Stage(
        scene,
        float(generator.uniform(0, 2 * math.pi)),
        (float(offset[0]), float(offset[1])),
        _clutter(settings, seen, generator),
    )
    tint = np.exp(generator.normal(0, 0.03, 3))
    exposure = float(generator.uniform(0.85, 1.15))
    effects = CameraEffects(settings.shutter, settings.shake, settings.noise, exposure, triple(tint))
    return render(figures, stage, camera, times, effects, generator, flow=settings.flow)


def perform(
    label: str, performer: Performer, evaluation: Evaluation, clip_s: float, generator: np.random.Generator
) -> Movement:
    """A movement in a performer's manner, cyclic ones `clip_s` seconds long."""
    primitive = MOVEMENTS.get(label)
    manner = Performance(
        evaluation=evaluation,
        tempo=performer.tempo * float(generator.uniform(0.92, 1.08)),
        amplitude=performer.amplitude * float(generator.uniform(0.94, 1.06)),
        left_handed=performer.left_handed,
        slouch_rad=performer.slouch_rad,
        clip_s=clip_s,
        generator=generator,
    )
    return primitive.perform(manner)


def _on_occasion(performer: Performer, plan: ClipPlan, generator: np.random.Generator) -> Figure:
    """The movement somewhere in the clip among what comes before and after; of a longer one, a part."""
    sequence, (start_s, end_s) = enact(plan.label, performer, generator)
    first, last = sorted((start_s, end_s - plan.duration_s))
    return Figure(performer, sequence, start_s=float(generator.uniform(first, last)))


def _timed(
    performer: Performer, movement: Movement, plan: ClipPlan, generator: np.random.Generator
) -> Figure:
    """The movement somewhere in the clip; what is too long for it is done faster.

    The time before has the same distribution as the time after, so that a movement and its reversal give
    the same frames in another order.
    """
    longest = 0.92 * plan.duration_s
    if not MOVEMENTS.get(plan.label).cyclic and movement.duration_s > longest:
        rate = movement.duration_s / longest
        movement = movement.played(lambda t: np.asarray(t) * rate, longest)
    onset = float(generator.uniform(0.0, 1.0)) * max(0.0, plan.duration_s - movement.duration_s)
    return Figure(performer, movement, start_s=-onset)


def _bystander(
    settings: MannequinSettings, shot: Shot, seen: Array, generator: np.random.Generator
) -> Figure:
    """Someone of the same split who stands or walks behind the performer."""
    performer = _other(settings, shot, generator)
    label = "walk" if generator.random() < 0.5 else "stand"
    movement = perform(label, performer, Evaluation(), shot.duration_s, generator)
    middle = seen[..., :2].reshape(-1, 2).mean(axis=0)
    bearing = math.radians(shot.azimuth_deg + 180) + float(generator.uniform(-0.5, 0.5))
    away = float(generator.uniform(2.0, 3.5))
    spot = middle + away * np.array([math.cos(bearing), math.sin(bearing)])
    return Figure(
        performer, movement, (float(spot[0]), float(spot[1])), float(generator.uniform(0, 2 * math.pi))
    )


def _partner(settings: MannequinSettings, shot: Shot, seen: Array, generator: np.random.Generator) -> Figure:
    """Someone of the same split who faces the performer, within reach of where the performer gets to."""
    performer = _other(settings, shot, generator)
    label = _REACTIONS[int(generator.integers(len(_REACTIONS)))]
    evaluation = Evaluation.draw(MOVEMENTS.get(label).grades, generator)
    movement = perform(label, performer, evaluation, shot.duration_s, generator)
    late = float(generator.uniform(0.0, 0.5)) * shot.duration_s
    x, y = float(seen[..., 0].max()), float(seen[:, 0, 1].mean())
    ahead, aside = float(generator.uniform(-0.1, 0.6)), float(generator.normal(0, 0.2))
    return Figure(
        performer, movement, (x + ahead, y + aside), math.pi + float(generator.normal(0, 0.25)), -late
    )


def _other(settings: MannequinSettings, shot: Shot, generator: np.random.Generator) -> Performer:
    """Any performer of the split but the shot's own, unless there is no other."""
    pool = [i for i in settings.pool(shot.split, settings.performers) if i != shot.performer]
    return cast(settings, pool[int(generator.integers(len(pool)))] if pool else shot.performer)


def _clutter(
    settings: MannequinSettings, seen: Array, generator: np.random.Generator
) -> tuple[SceneObject, ...]:
    """Now and then a thing beside the performer that is not used."""
    if generator.random() >= settings.clutter:
        return ()
    kinds: tuple[tuple[ObjectKind, float], ...] = (("chair", 0.46), ("box", 0.28), ("ball", 0.20))
    kind, size = kinds[int(generator.integers(3))]
    side = 1.0 if generator.random() < 0.5 else -1.0
    low, high = seen[..., 1].min(), seen[..., 1].max()
    y = high + generator.uniform(0.25, 0.7) if side > 0 else low - generator.uniform(0.25, 0.7)
    x = float(generator.uniform(-0.9, 0.1))
    z = 0.0 if kind == "chair" else size / 2
    yaw = float(generator.uniform(0, 2 * math.pi))
    return (SceneObject(kind, size, np.array([[x, float(y), z]]), yaw),)
