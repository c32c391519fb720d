"""Published checkpoints of graph networks on NTU RGB+D, as the cards of several families state them.

Only joint and bone streams: the motion streams were trained on differences between neighbouring frames
of the video, before a hundred of them were chosen; a network that sees the chosen ones cannot know those.
"""

from __future__ import annotations

from collections.abc import Mapping

from kinesphere.clips.spec import Sampling
from kinesphere.models.card import ReportedScore, WeightEntry
from kinesphere.models.contracts import pose_spec
from kinesphere.models.weights.keymap import Arguments

TEN_CLIPS = "10 clips"
MOTION_NOTE = (
    "Motion streams are of the chosen frames: public weights of motion streams import, but saw neighbouring "
    "frames of the video. `skeleton` and `dimensions` choose other joints, also in space. "
)
INPUTS = (pose_spec("coco17"),)
TINY_INPUTS = (INPUTS[0].with_(sampling=Sampling("uniform", 12)),)
_PYSKL = "http://download.openmmlab.com/mmaction/pyskl/ckpt"
_MMACTION2 = "https://download.openmmlab.com/mmaction/v1.0/skeleton"
_CLASSES = {"ntu60": 60, "ntu120": 120}
_STREAMS = {"j": "joint", "b": "bone"}


def entry(
    tag: str,
    url: str,
    layout: str,
    score: float,
    *,
    sha256: str | None = None,
    stream: str = "joint",
    licence: str = "Apache-2.0",
) -> WeightEntry:
    """A checkpoint whose tag starts with the name of its data set, cross-subject."""
    labels = tag.partition("_")[0]
    arguments: Arguments = {} if stream == "joint" else {"stream": stream}
    dataset = f"NTU RGB+D{' 120' if labels == 'ntu120' else ''}, cross-subject"
    return WeightEntry(
        tag=tag,
        url=url,
        layout=layout,
        labels=labels,
        classes=_CLASSES[labels],
        sha256=sha256,
        licence=licence,
        scores=(ReportedScore("top1", score, dataset, TEN_CLIPS),),
        arguments=arguments,
    )


def mmaction2_weights(model: str, found: Mapping[str, tuple[str, float]]) -> tuple[WeightEntry, ...]:
    """Checkpoints of MMAction2 1.x from `{"ntu60/2d/joint": (date and digest, score)}`."""
    entries = []
    for key, (suffix, score) in found.items():
        dataset, pose, stream = key.split("/")
        config = f"{model}_8xb16-{stream}-u100-80e_{dataset}-xsub-keypoint-{pose}"
        tag = dataset + ("_3d" if pose == "3d" else "") + ("_bone" if stream == "bone" else "")
        url = f"{_MMACTION2}/{model}/{config}/{config}_{suffix}.pth"
        entries.append(entry(tag, url, "mmaction2", score, sha256=suffix[-8:], stream=stream))
    return tuple(entries)


def pyskl_weights(folder: str, scores: Mapping[str, tuple[float, float]]) -> tuple[WeightEntry, ...]:
    """Checkpoints of PySKL from `{"ntu60_3d": (score of joints, of bones)}`; tags end in `_pyskl`.

    Args:
        folder: Path with `{}` for data set, split and origin of the poses.
        scores: By data set, with `_3d` for Kinect's joints, else HRNet's.
    """
    entries = []
    for key, pair in scores.items():
        dataset, _, space = key.partition("_")
        place = folder.format(f"{dataset}_xsub_{'3dkp' if space else 'hrnet'}")
        for (letter, stream), score in zip(_STREAMS.items(), pair, strict=True):
            tag = key + ("_bone" if stream == "bone" else "") + "_pyskl"
            entries.append(entry(tag, f"{_PYSKL}/{place}/{letter}.pth", "pyskl", score, stream=stream))
    return tuple(entries)


def block_names(count: int) -> tuple[str, ...]:
    """Stages of a graph network of so many blocks."""
    return tuple(f"blocks.{i}" for i in range(count))
