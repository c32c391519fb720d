"""The mannequin: videos of human movement made to order, with the ground truth of every frame.

`generate` writes a data set of single movements, `generate_laboratory` one of graded evaluations,
`generate_recordings` long annotated ones, `kinesphere.synthetic.mocap.render_motions` one of motion capture;
`generate_people`, `generate_pairs` and `generate_events` write recordings of several people, with or without
pixels, and `stage` gives a `Script` of one's own bodies; `render_clip` draws one video in memory, and
`retarget` makes joints in space a motion. Motions, bodies, cameras and scenes are independent of one another:
anything with the methods of `Motion` can be performed by any `Performer` in any `Scene` through `render`.
"""

from kinesphere.synthetic.clips import ClipPlan, plan_clip, plan_clips, render_clip
from kinesphere.synthetic.crowd.director import stage
from kinesphere.synthetic.crowd.generate import generate_events, generate_pairs, generate_people
from kinesphere.synthetic.crowd.improvise import CROWD_CLASSES, Crowd
from kinesphere.synthetic.crowd.script import Act, Entrance, Item, Occurrence, Play, Script
from kinesphere.synthetic.dataset import generate
from kinesphere.synthetic.laboratory.generate import LABORATORY, generate_laboratory
from kinesphere.synthetic.motion.motion import Motion, Recorded
from kinesphere.synthetic.motion.retarget import retarget
from kinesphere.synthetic.recordings import generate_recordings
from kinesphere.synthetic.render.ground_truth import load_ground_truth
from kinesphere.synthetic.render.render import CameraEffects, Figure, GroundTruth, Rendered, Stage, render
from kinesphere.synthetic.settings import DEFAULT_CLASSES, SPEED_PAIRS, TIME_REVERSED, MannequinSettings

__all__ = [
    "CROWD_CLASSES",
    "DEFAULT_CLASSES",
    "LABORATORY",
    "SPEED_PAIRS",
    "TIME_REVERSED",
    "Act",
    "CameraEffects",
    "ClipPlan",
    "Crowd",
    "Entrance",
    "Figure",
    "GroundTruth",
    "Item",
    "MannequinSettings",
    "Motion",
    "Occurrence",
    "Play",
    "Recorded",
    "Rendered",
    "Script",
    "Stage",
    "generate",
    "generate_events",
    "generate_laboratory",
    "generate_pairs",
    "generate_people",
    "generate_recordings",
    "load_ground_truth",
    "plan_clip",
    "plan_clips",
    "render",
    "render_clip",
    "retarget",
    "stage",
]
