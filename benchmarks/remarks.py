"""What a reader of the records must know beside their numbers: why a goal is missed, and what columns hold.

`docs.generate` prints both beside each record, whenever it was made. A reason is a fact that a reader can
check: in the record itself, in the code or in the docs. Tests hold that every missed goal has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_VERDICT = re.compile(r"\b(met|missed)\.?$")

WHY_MISSED: Mapping[str, Mapping[str, str]] = {
    "box_pixels": {
        "URFD": (
            "These weights learnt from generated people alone, and pixels carry less over to real footage "
            "than joints do; what they take for a fall depends on what else is in the picture."
        ),
    },
    "box_poses": {
        "UTKinect's mapped": (
            "Pushes, throws and claps are missed: what comes straight towards the camera hardly moves in "
            "the picture, and the generated people whom the weights learnt from do these in other ways."
        ),
        "A fall told": (
            "Windows of the daily activity are called falls, too: the weights know falls of generated "
            "people alone."
        ),
    },
    "decode": {
        "all frames of 640x480": (
            "Missed by the file with a key frame every 12 frames alone: there decoding keeps both cores "
            "busy by itself, so that converting and scaling come on top of it."
        ),
        "16 frames spread": (
            "Missed by Xvid in AVI with a key frame every 12 frames alone: where key frames are so near, "
            "there is little decoding to save, and opening the file is most of the time."
        ),
    },
    "gpu": {
        "r3d_18": "Within what the reference differs by from run to run: both run the same kernels.",
    },
    "growth": {
        "opening a video": (
            "The index of frames in the file's header grows with the recording, and is parsed when a file "
            "is opened."
        ),
        "room for one more": (
            "Now and then all entries are gone through for those unused for longest; in between the next "
            "one is known."
        ),
    },
    "inference": {
        "speed over OpenVINO": "See the last note of this record.",
    },
    "features": {
        "movinet_a0_stream: memory growth": (
            "The rows of an hour, 7 200 of 2 048 numbers, are 59 MB themselves, which are put together when "
            "the file is written."
        ),
    },
    "frozen_probes": {
        "The best of all pooled probes": (
            "Sixty clips of ten sequences: the score is above the goal, but the interval of the difference, "
            "over sequences, reaches zero. With frames of one shape it does not."
        ),
    },
    "live": {
        "answers a second": (
            "Source, server and network share the cores. Where an answer takes longer than a frame lasts, "
            "the newest frame is answered and those before it are dropped and counted."
        ),
    },
    "localise": {
        "mean error of": (
            "Where boundaries are known exactly the same networks meet this goal (Actions in long "
            "recordings, from raw video); here they are drawn by hand, in 16 short sequences."
        ),
    },
    "long_video": {
        "memory from a tenth": (
            "A single step behind the middle of the recording, within the gigabyte of freed memory that a "
            "process keeps; every second, with five times as many windows, there is none."
        ),
    },
    "people": {
        "IDF1 with MediaPipe": (
            "MediaPipe finds fewer people where they cross or are near, and its boxes change owner there; "
            "with true boxes the goal is met."
        ),
        "right action with MediaPipe": (
            "Who is not found counts as wrong, and joints of people who cross are mixed up; with true boxes"
            " and joints the goal is met."
        ),
    },
    "planted": {
        "": "Blocks that mix carry what a cell holds to others; [Explaining](explaining.md) tells each.",
    },
    "planted_layers": {
        "transformer": "Attention carries what a token holds to all others, at every one of its layers.",
        "LSTM": (
            "Before the last layer Grad-CAM has one weight for a channel, whose meaning depends on what is "
            "around."
        ),
        "skeleton": "Convolutions over the skeleton carry what a joint holds to the next ones.",
    },
    "probing": {
        "with a block": (
            "A block learns from all 1536 tokens of a batch: 0.6 billion multiply-adds a step that are each "
            "probe's own, while the encoder sees 16 small clips once. The goal leaves a further probe about "
            "2 ms for them, in which no core of this kind can do it."
        ),
        "attentive": (
            "Each probe has 2.5 million numbers of its own, most of them in the perceptron behind its query, "
            "and an AdamW step passes 70 MB through the core. With the products for its query that is 0.1 "
            "billion multiply-adds a step on the small videos and 0.7 billion on UT-Interaction, for which "
            "the goal leaves a further probe 0.3 of one run, divided by the steps of eleven probes: about 4 "
            "and about 10 ms."
        ),
        "two layers": (
            "The probe's first layer has a million weights, whose training eleven times more is a third "
            "of the time that 135 clips take to be decoded and seen."
        ),
    },
    "results": {
        "Surveillance fights": (
            "No way that was tried reaches it: pixels, flow, joints, pooled probes, their fusions, with "
            "video weights or without. People are small: joints are found in 60 % of the frames. The clips "
            "come from 52 source videos."
        ),
        "MSR-Action3D": (
            "Five subjects test, who differ so much that the goal lies within the interval; epochs were not "
            "chosen by their scores."
        ),
    },
    "robbery": {
        "other events": (
            "In the picture a hand or a box passes before or behind a thing, which then counts as held up."
        ),
    },
}
"""By record and the beginning or a part of its goals: why they are missed; the first that fits counts."""

READING: Mapping[str, str] = {
    "activations": (
        "Clips are those of a batch; the share is of memory, the ratio of processor time, with over without."
    ),
    "background": "Heat on people stands beside the fraction of the picture that they cover.",
    "box_fusion": "The threshold is the probability from which on an answer counts.",
    "coverage": "Groups are those that the test clips come from; a width is in points of the score.",
    "damaged": (
        "Numbers of files: read whole, read in part with a report, refused with a message, and what may not"
        " be."
    ),
    "decode": (
        "Spread: 16 frames over 20 s; dense: 16 in a row; all: every frame. Bare is decoding without "
        "conversion."
    ),
    "explain": "Ratios of the first to the second, with the least and the greatest of the rounds.",
    "growth": (
        "Times of the smallest input, of ten and of a hundred times as much; 1.0 to 10 is no growth at all."
        " The last column is a digest of what was computed, which shows that runs computed the same."
    ),
    "inference": (
        "Milliseconds a clip. Ratios above 1 say that ours is faster. Differences are of logits, relative."
    ),
    "laboratory": "Top-1, top-3 and mean class accuracy are in percent.",
    "robustness": "Without `--made` the laboratory is generated first. Intervals are 95 %, over performers.",
    "keeps_up": "The frame rate is the highest of one stream that is answered window after window.",
    "large_lists": "Held is what the process keeps once the list is open, peak what it took while reading.",
    "long_video": (
        "The loop cuts every window by itself, as a script would; overlap is windows over a frame."
    ),
    "long_video_hour": (
        "The loop cuts every window by itself, as a script would; overlap is windows over a frame. Memory is "
        "what of the process is resident: it falls where the system takes back pages that nobody touches."
    ),
    "paired_growth": (
        "The smallest input, and ten and a hundred times as much; change is after over before. Nothing stands"
        " before where one call would have taken over twenty seconds, or the work was not there yet."
    ),
    "people": "IDF1 and HOTA are fractions of 1.",
    "planted": (
        "Pointing: fraction of clips whose hottest cell lies on the patch; energy: fraction of all heat."
    ),
    "planted_layers": (
        "Pointing: fraction of clips whose hottest cell lies on the patch, or within a cell of it."
    ),
    "threads": "Speeds, as multiples of one thread's where nothing else runs.",
    "train": "Ratios are to the plain loop.",
    "zoo": "One clip of the input that docs/models.md states.",
}
"""By record: what its columns hold, where their names do not say it."""


def verdict(goal: str) -> str | None:
    """`"met"` or `"missed"`, as a goal's line says at its end; None of a line that says neither."""
    found = _VERDICT.search(goal)
    return found[1] if found else None


def why_missed(name: str, goal: str) -> str | None:
    """Why a record misses a goal, in a sentence; None of one that it meets, or without a reason."""
    if verdict(goal) != "missed":
        return None
    return next((why for part, why in WHY_MISSED.get(name, {}).items() if part in goal), None)


def unexplained(name: str, goals: Sequence[str]) -> list[str]:
    """Goals of a record that are missed without a reason."""
    return [goal for goal in goals if verdict(goal) == "missed" and why_missed(name, goal) is None]
