from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from kinesphere.annotations.formats.mot import read_mot
from kinesphere.clips.modalities.pose.file import read_poses
from kinesphere.clips.pinhole import PinholeCamera
from kinesphere.core.errors import InvalidSetting
from kinesphere.data import Manifest
from kinesphere.synthetic import (
    CROWD_CLASSES,
    Act,
    Crowd,
    Entrance,
    Item,
    MannequinSettings,
    Script,
    generate_events,
    generate_pairs,
    generate_people,
    stage,
)
from kinesphere.synthetic.body.body import INDEX
from kinesphere.synthetic.clips import cast
from kinesphere.synthetic.crowd.events import DECOYS, ROBBERY, WITHIN_S, plan_event
from kinesphere.synthetic.crowd.improvise import plan_crowd
from kinesphere.synthetic.crowd.truth import sight
from kinesphere.synthetic.motion.motion import palm
from kinesphere.video import Video

SMALL = MannequinSettings(
    classes=CROWD_CLASSES, size=(72, 96), fps=5, performers=12, scenes=12, splits=(1.0, 0.0, 0.0)
)
BRIEF = Crowd(people=(3, 3), things=0.8, duration_s=6.0)
STILL = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])


def staged(script: Script, seed: int = 0):
    bodies = [cast(SMALL, number) for number in range(len(script.people))]
    return stage(script, bodies, np.random.default_rng(seed))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> Path:
    return generate_people(SMALL, tmp_path_factory.mktemp("film"), count=1, crowd=BRIEF, workers=1).parent


@pytest.fixture(scope="module")
def joints(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("joints")
    return generate_people(SMALL, folder, count=2, crowd=BRIEF, joints_only=True, workers=1).parent


def test_rows_boxes_and_joints_speak_of_the_same_people(joints):
    manifest = Manifest.read(joints / "manifest.csv")
    table = rows(joints / "manifest.csv")
    assert len(manifest) == len(table) > 6
    for path in {row["path"] for row in table}:
        name = Path(path).name.removesuffix(".pose.npz")
        tracks = read_mot(joints / "tracks" / name / "gt" / "gt.txt")
        people = [track for track in tracks if track.label == "person"]
        poses = read_poses(joints / path)
        assert [track.identity for track in people] == poses.tracks.tolist() == [1, 2, 3]
        assert {row["person"] for row in table if row["path"] == path} <= {"1", "2", "3"}
        assert all(track.frames[0] >= 1 and track.frames[-1] <= len(poses) for track in tracks)
        for i, track in enumerate(people):
            points = poses.keypoints[track.frames - 1, i]
            inside = (points > track.boxes[:, None, :2] - 1) & (points < track.boxes[:, None, 2:] + 1)
            assert inside.all(axis=-1)[poses.scores[track.frames - 1, i] > 0].mean() > 0.99


def test_spans_of_one_person_do_not_overlap_and_facts_name_things(joints):
    by_person: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows(joints / "manifest.csv"):
        key = (row["path"], row["person"])
        by_person.setdefault(key, []).append((float(row["start"]), float(row["end"])))
    assert all(
        a[1] <= b[0] for spans in by_person.values() for a, b in zip(spans, sorted(spans)[1:], strict=False)
    )
    facts = rows(joints / "facts.csv")
    things = [fact for fact in facts if fact["label"].startswith("holds ")]
    assert things
    for fact in things:
        name = Path(fact["path"]).name.removesuffix(".pose.npz")
        tracks = {t.identity: t for t in read_mot(joints / "tracks" / name / "gt" / "gt.txt")}
        assert tracks[int(fact["other"])].label == fact["label"].split()[-1]
    assert not (joints / "events.csv").exists()


def test_a_video_and_its_joints_are_of_the_same_play(filmed, joints):
    film, alone = rows(filmed / "manifest.csv")[0], rows(joints / "manifest.csv")[0]
    assert film["label"], film["start"] == (alone["label"], alone["start"])
    poses = read_poses(next((filmed / "truth" / "videos").glob("*.pose.npz")))
    np.testing.assert_allclose(poses.keypoints, read_poses(joints / alone["path"]).keypoints, atol=1e-3)
    with Video.open(filmed / film["path"]) as video:
        assert len(video.frame_times()) == len(poses) == 30
    folder = filmed / "tracks" / Path(film["path"]).stem
    whole = {track.identity: track for track in read_mot(folder / "gt" / "gt.txt")}
    guessed = read_mot(joints / "tracks" / folder.name / "gt" / "gt.txt")
    for track in read_mot(folder / "visible" / "gt" / "gt.txt"):
        own = whole[track.identity].boxes[np.isin(whole[track.identity].frames, track.frames)]
        # What is seen is part of the whole but for the blur of the exposure.
        assert (track.boxes[:, :2] > own[:, :2] - 2.5).all()
        assert (track.boxes[:, 2:] < own[:, 2:] + 2.5).all()
    for track in guessed[:3]:
        both = np.intersect1d(track.frames, whole[track.identity].frames)
        a = track.boxes[np.isin(track.frames, both)]
        b = whole[track.identity].boxes[np.isin(whole[track.identity].frames, both)]
        inner = np.clip(np.minimum(a, b)[:, 2:] - np.maximum(a, b)[:, :2], 0, None).prod(axis=1)
        outer = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - inner
        assert (inner / outer).mean() > 0.8


def test_finished_recordings_are_kept_and_lost_ones_made_again(joints, tmp_path):
    generate_people(SMALL, tmp_path, count=2, crowd=BRIEF, joints_only=True, workers=1)
    before = digests(tmp_path)
    assert before == digests(joints)
    poses = sorted((tmp_path / "poses").iterdir())
    poses[0].unlink()
    kept = poses[1].stat().st_mtime_ns
    generate_people(SMALL, tmp_path, count=2, crowd=BRIEF, joints_only=True, workers=1)
    assert digests(tmp_path) == before
    assert poses[1].stat().st_mtime_ns == kept
    with pytest.raises(InvalidSetting, match="written with other settings"):
        generate_people(SMALL, tmp_path, count=2, crowd=Crowd(duration_s=7.0), joints_only=True, workers=1)


def test_who_stands_behind_somebody_is_hidden_by_depth():
    people = (Entrance((1.0, 0.0)), Entrance((-1.0, 0.02)), Entrance((0.0, 2.0)))
    play = staged(Script(people, (), (), 1.0))
    camera = PinholeCamera((8.0, 0.0, 1.0), (0.0, 0.0, 1.0), 1.5, (240, 320))
    seen = sight(play, camera, STILL, np.array([0.5]))
    front, behind, aside = seen.visible[0]
    assert front == aside == 1.0
    assert behind < 0.5


def test_people_keep_out_of_each_others_way():
    take = plan_crowd(SMALL, Crowd(people=(4, 4), together=0.3, duration_s=40.0), "train", 3)
    times = np.arange(0, 40, 0.2)
    places = [figure.placed(times)[0].of("pelvis")[:, :2] for figure in take.play.figures]
    crossed = False
    for one, two in itertools.combinations(range(4), 2):
        alone = np.ones(len(times), bool)
        for each in take.play.movements:
            if {each.person, each.other} == {one + 1, two + 1}:
                # They come together before, and part afterwards.
                alone &= (times < each.start_s - 5) | (times > each.end_s + 3)
        apart = places[one] - places[two]
        assert np.linalg.norm(apart[alone], axis=1).min(initial=9.0) > 0.55
        crossed |= bool(np.diff(np.sign(apart[:, 1])).any())
    assert crossed
    assert any(each.other for each in take.play.movements)


def test_feet_stand_while_the_body_turns_to_the_next_movement():
    play = staged(Script((Entrance((0.0, 0.0)),), (Act(0, "walk", 0.5, to=(0.0, 2.0)),), (), 6.0))
    walk = play.movements[0]
    times = np.arange(walk.start_s - 0.8, walk.start_s, 1 / 60)
    placed = play.figures[0].placed(times)[0]
    for side in ("left", "right"):
        ball = placed.of(f"{side}_ball")
        sliding = np.linalg.norm(np.diff(ball[:, :2], axis=0), axis=1) > 0.01
        assert ball[:-1][sliding][:, 2].min(initial=1.0) > 0.012
    end = play.figures[0].placed(np.array([walk.end_s]))[0].of("pelvis")[0]
    np.testing.assert_allclose(end[:2], (0.0, 2.0), atol=0.02)


@pytest.mark.parametrize("name", ["shake hands", "hug", "push", "punch", "kick", "point"])
def test_pairs_meet_at_the_right_moment(name):
    script = Script(
        (Entrance((-1.2, 0.2)), Entrance((0.7, 0.0), 1.0)), (Act(0, name, 0.3, other=1),), (), 9.0
    )
    play = staged(script, 3)
    done = [each for each in play.movements if each.label == name]
    mutual = name in ("shake hands", "hug")
    assert [(each.person, each.other) for each in done] == ([(1, 2), (2, 1)] if mutual else [(1, 2)])
    times = np.arange(done[0].start_s, done[0].end_s, 1 / 60)
    one, two = (figure.placed(times)[0] for figure in play.figures)
    if name == "shake hands":
        apart = np.linalg.norm(palm(one, "right") - palm(two, "right"), axis=1)
        assert apart.min() < 0.02
        assert (apart < 0.03).mean() > 0.1
    elif name == "hug":
        back = two.of("chest") - two.orientations[:, INDEX["chest"], :, 0] * 0.12
        reach = [np.linalg.norm(palm(one, side) - back, axis=1).min() for side in ("left", "right")]
        assert max(reach) < 0.25
    elif name == "point":
        nose = two.of("nose") - one.of("right_shoulder")
        arm = palm(one, "right") - one.of("right_shoulder")
        cosine = np.einsum("ti,ti->t", nose, arm) / np.linalg.norm(nose, axis=1) / np.linalg.norm(arm, axis=1)
        left = two.of("nose") - one.of("left_shoulder")
        other = palm(one, "left") - one.of("left_shoulder")
        mirrored = np.einsum("ti,ti->t", left, other)
        mirrored /= np.linalg.norm(left, axis=1) * np.linalg.norm(other, axis=1)
        assert max(cosine.max(), mirrored.max()) > math.cos(0.1)
    else:
        (reaction,) = [each for each in play.movements if each.label == "stagger"]
        moment = int((reaction.start_s - times[0]) * 60)
        limbs = [
            at[moment]
            for side in ("left", "right")
            for at in ((one.of(f"{side}_toes"),) if name == "kick" else (palm(one, side),))
        ]
        chest = two.of("chest")[moment]
        gap = min(float(np.hypot(*(limb - chest)[:2])) for limb in limbs)
        assert gap < 0.28
        assert np.linalg.norm((two.of("pelvis")[-1] - two.of("pelvis")[0])[:2]) > 0.1


def test_a_thing_is_picked_up_held_up_and_put_down_where_the_hand_is():
    acts = (
        Act(0, "pick up", 0.3, thing=0),
        Act(0, "run", 1.0, to=(1.5, 1.0), raised=True),
        Act(0, "put down", 2.0),
    )
    script = Script((Entrance((-1.0, 0.0)),), acts, (Item("stick", 0.9, (0.4, 0.0)),), 14.0)
    play = staged(script)
    facts = {each.label: each for each in play.facts if each.other == 2}
    assert set(facts) == {"holds stick", "carries stick", "holds up stick"}
    holds, up = facts["holds stick"], facts["holds up stick"]
    times = np.arange(0, 14, 0.05)
    path = play.things[0].at(times).positions
    placed = play.figures[0].placed(times)[0]
    hands = np.minimum(*(np.linalg.norm(palm(placed, s) - path, axis=1) for s in ("left", "right")))
    held = (times > holds.start_s + 0.15) & (times < holds.end_s - 0.15)
    assert hands[held].max() < 1e-6
    grasped, released = (int(np.searchsorted(times, each)) for each in (holds.start_s, holds.end_s))
    assert max(hands[grasped - 1], hands[released]) < 0.15
    before, after = times < holds.start_s, times > holds.end_s
    np.testing.assert_allclose(path[before, :2], np.tile((0.4, 0.0), (before.sum(), 1)))
    assert np.ptp(path[after], axis=0).max() == 0
    assert path[~held, 2].max() < 0.3
    raised = (times > up.start_s) & (times < up.end_s)
    assert (path[raised, 2] > placed.of("head_top")[raised, 2] - 0.02).all()


def test_robberies_are_in_every_other_recording_and_their_likes_are_none():
    for number, kind in ((0, ROBBERY), (1, DECOYS[0]), (3, DECOYS[1]), (5, DECOYS[2]), (7, DECOYS[3])):
        take = plan_event(SMALL, "train", number)
        assert take.script == kind
        assert len(take.events) == (kind == ROBBERY)
        labels = [each.label for each in take.play.facts]
        assert any(label.startswith("holds up") for label in labels) == (kind != "carried only")
        assert ("run" in labels) == (kind != "nobody runs")
        for event in take.events:
            assert event.end_s - event.start_s < WITHIN_S
            assert len(event.people) == 2
            assert event.things == (5,)


def test_pairs_and_events_are_written(tmp_path):
    pairs = generate_pairs(SMALL, tmp_path / "pairs", count=2, joints_only=True, workers=1)
    assert {row["label"] for row in rows(pairs)} >= {"shake hands", "hug"}
    events = generate_events(SMALL, tmp_path / "events", count=1, joints_only=True, workers=1)
    (event,) = rows(events.parent / "events.csv")
    assert event["label"] == ROBBERY
    assert event["things"] == "5"
    assert {row["script"] for row in rows(events)} == {ROBBERY}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ({"people": ()}, "needs people and a length; got 0 people"),
        ({"acts": (Act(4, "walk", to=(0, 0)),)}, "has no person 4 to walk; it has 2"),
        ({"acts": (Act(0, "pick up", thing=1),)}, "has no thing 1 to pick up; it has 1"),
        ({"acts": (Act(0, "hug", other=0),)}, "Person 0 cannot hug alone"),
        ({"acts": (Act(0, "wave", other=1),)}, "What two people can do is shake hands, hug"),
        ({"acts": (Act(0, "put down"),)}, "Person 0 has nothing to put down"),
        ({"acts": (Act(0, "hold up"),)}, "Person 0 has nothing to hold up"),
        ({"acts": (Act(0, "wave", to=(0, 1)),)}, "get somewhere by walk or run; got 'wave'"),
        ({"acts": (Act(0, "pick up", thing=0), Act(0, "pick up", thing=0))}, "cannot pick up thing 0"),
        ({"items": (Item("box", 0.3),)}, "lies nowhere and nobody has it"),
        ({"people": (Entrance((0, 0), thing=0), Entrance((1, 1)))}, "in one person's hand at first"),
    ],
)
def test_wrong_scripts_are_named(script, message):
    plain = {"people": (Entrance((0, 0)), Entrance((2, 0))), "acts": (), "items": (Item("box", 0.3, (1, 1)),)}
    with pytest.raises(InvalidSetting, match=message):
        staged(Script(**(plain | script)))


def test_wrong_sets_are_named(tmp_path):
    with pytest.raises(InvalidSetting, match="cannot sit down: it needs a chair"):
        generate_people(dataclasses.replace(SMALL, classes=("walk", "sit down")), tmp_path)
    few = dataclasses.replace(SMALL, performers=8)
    with pytest.raises(InvalidSetting, match="too few for 9 people"):
        generate_people(few, tmp_path / "few", count=1, crowd=Crowd(people=(9, 9)), workers=1)
    with pytest.raises(InvalidSetting, match="at least one recording"):
        generate_pairs(SMALL, tmp_path, count=0)
    with pytest.raises(InvalidSetting, match="shows 1 to 12 people"):
        Crowd(people=(0, 2))
    with pytest.raises(InvalidSetting, match="are shares from 0 to 1"):
        Crowd(things=2.0)
    with pytest.raises(InvalidSetting, match="1 second to 6 hours"):
        Crowd(duration_s=0.0)
    with pytest.raises(InvalidSetting, match="for 1 people; got 0 performers"):
        stage(Script((Entrance((0, 0)),), ()), [], np.random.default_rng(0))
