"""Skeletons and the maps between them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kinesphere.clips.skeleton import (
    COCO17,
    NTU25,
    SIDE_COLOURS,
    SKELETONS,
    JointMap,
    Skeleton,
    joint_map,
    map_between,
)
from kinesphere.core.errors import InvalidSetting, UnknownName

COUNTS = {
    "blazepose33": 33, "coco17": 17, "jhmdb15": 15, "kinect20": 20, "ntu25": 25, "openpose18": 18,
    "openpose25": 25,
}  # fmt: skip
# Joints that the body of every skeleton has.
LIMBS = [
    f"{side}_{part}"
    for side in ("left", "right")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]


def test_registry_holds_the_field_s_skeletons() -> None:
    assert {name: len(SKELETONS.get(name)) for name in SKELETONS} == COUNTS


@pytest.mark.parametrize("name", COUNTS)
def test_skeleton_is_a_tree_with_two_sides(name: str) -> None:
    skeleton = SKELETONS.get(name)
    assert skeleton.parents[skeleton.root] == -1
    assert len(skeleton.bones) == len(skeleton) - 1
    assert set(LIMBS) <= set(skeleton.joints)
    assert len(skeleton.pairs) == sum(joint.startswith("right_") for joint in skeleton.joints)
    mirrored = [skeleton.mirror[joint] for joint in skeleton.mirror]
    assert mirrored == list(range(len(skeleton)))
    parents = np.array(skeleton.parents)
    mirror = np.array(skeleton.mirror)
    children = [joint for joint in range(len(skeleton)) if joint != skeleton.root]
    # A mirrored bone is a bone: what hangs on the left arm hangs on the right one too.
    assert all(parents[mirror[joint]] == mirror[parents[joint]] for joint in children)
    assert {frozenset((mirror[a], mirror[b])) for a, b in skeleton.edges} == set(
        map(frozenset, skeleton.edges)
    )
    assert len(skeleton.colours) == len(skeleton.edges)


def test_bones_of_coco_and_ntu_are_those_of_the_published_graphs() -> None:
    coco = {(15, 13), (13, 11), (16, 14), (14, 12), (11, 5), (12, 6), (9, 7), (7, 5), (10, 8), (8, 6), (5, 0),
            (6, 0), (1, 0), (3, 1), (2, 0), (4, 2)}  # fmt: skip
    assert set(COCO17.bones) == coco
    ntu = {(1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10),
           (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (22, 8),
           (23, 8), (24, 12), (25, 12)}  # fmt: skip
    assert {(joint + 1, parent + 1) for joint, parent in NTU25.bones} == ntu
    assert NTU25.root == 20


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(COUNTS, 2)))
def test_every_map_keeps_the_limbs_and_makes_up_no_face(source: str, target: str) -> None:
    chosen = map_between(source, target)
    assert not set(chosen.missing) & {*LIMBS, "nose", "neck", "pelvis", "spine", "thorax", "head", "face"}
    for name, part in zip(chosen.target, chosen.parts, strict=True):
        if name in chosen.source:
            assert part == (chosen.source.index(name),)
        if name.endswith(("_eye", "_ear")) and name not in chosen.source:
            assert part == ()


@pytest.mark.parametrize("name", COUNTS)
def test_map_to_itself_changes_nothing(name: str) -> None:
    points = np.random.default_rng(0).normal(size=(4, 2, COUNTS[name], 3)).astype(np.float32)
    chosen = map_between(name, name)
    np.testing.assert_array_equal(chosen.points(points), points)
    np.testing.assert_array_equal(chosen.scores(points[..., 0]), points[..., 0])


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(COUNTS, 2)))
def test_mirror_and_map_commute(source: str, target: str) -> None:
    points = np.random.default_rng(1).normal(size=(COUNTS[source], 2)).astype(np.float32)
    chosen = map_between(source, target)
    mirrored = chosen.points(points[list(SKELETONS.get(source).mirror)])
    np.testing.assert_allclose(mirrored, chosen.points(points)[list(SKELETONS.get(target).mirror)], atol=1e-6)


def test_mean_takes_the_least_score_and_missing_joints_score_zero() -> None:
    chosen = joint_map(("left_shoulder", "right_shoulder"), ("neck", "left_eye"))
    points = np.array([[0, 2], [4, 0]], np.float32)
    np.testing.assert_array_equal(chosen.points(points), [[2, 1], [0, 0]])
    np.testing.assert_allclose(chosen.scores(np.array([0.9, 0.5])), [0.5, 0])
    assert chosen.missing == ("left_eye",)


def test_colours_tell_the_sides_apart() -> None:
    colours = dict(zip(COCO17.edges, COCO17.colours, strict=True))
    assert colours[(7, 9)] == SIDE_COLOURS["left"]
    assert colours[(8, 10)] == SIDE_COLOURS["right"]
    assert colours[(5, 6)] == SIDE_COLOURS["centre"]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownName, match="no skeleton called 'coco'; did you mean coco17"):
        SKELETONS.get("coco")
    with pytest.raises(InvalidSetting, match="'coco17' has no joint 'tail'; it has nose, left_eye"):
        COCO17.index("tail")


@pytest.mark.parametrize(
    ("joints", "parents", "edges", "message"),
    [
        (("a", "a"), (-1, 0), (), "joints of different names"),
        (("a", "b"), (-1,), (), "1 parents"),
        (("a", "b"), (-1, -1), (), "one -1, the root"),
        (("a", "b"), (-1, 2), (), "joint numbers below 2"),
        (("a", "b"), (-1, 0), ((0, 2),), "edges join two of 2 joints"),
        (("a", "b", "c"), (-1, 2, 1), (), "its own ancestor"),
    ],
)
def test_broken_skeletons_are_refused(
    joints: tuple[str, ...], parents: tuple[int, ...], edges: tuple[tuple[int, int], ...], message: str
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        Skeleton("broken", joints, parents, edges)


def test_broken_maps_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="needs a part for 1 joints; got 0"):
        JointMap(("a",), ("b",), ())
    with pytest.raises(InvalidSetting, match=r"refers to \(1,\), but there are 1 joints"):
        JointMap(("a",), ("b",), ((1,),))
    with pytest.raises(InvalidSetting, match="takes 17 joints; got 5"):
        map_between("coco17", "ntu25").points(np.zeros((5, 2)))
