"""The mannequin: videos of human movement made to order, with the ground truth of every frame.

`generate` writes a data set of single movements, `generate_recordings` long annotated ones,
`kinesphere.synthetic.mocap.render_motions` one of motion capture; `render_clip` draws one video in
memory, and `retarget` makes joints in space a motion. Motions, bodies, cameras and scenes are independent of
one another: anything with the methods of `Motion` can be performed by any `Performer` in any `Scene` through
`render`.
"""

from kinesphere.synthetic.clips import ClipPlan, plan_clip, plan_clips, render_clip
from kinesphere.synthetic.dataset import generate
from kinesphere.synthetic.motion.motion import Motion, Recorded
from kinesphere.synthetic.motion.retarget import retarget
from kinesphere.synthetic.recordings import generate_recordings
from kinesphere.synthetic.render.ground_truth import load_ground_truth
from kinesphere.synthetic.render.render import CameraEffects, Figure, GroundTruth, Rendered, Stage, render
from kinesphere.synthetic.settings import DEFAULT_CLASSES, SPEED_PAIRS, TIME_REVERSED, MannequinSettings

__all__ = [
    "DEFAULT_CLASSES",
    "SPEED_PAIRS",
    "TIME_REVERSED",
    "CameraEffects",
    "ClipPlan",
    "Figure",
    "GroundTruth",
    "MannequinSettings",
    "Motion",
    "Recorded",
    "Rendered",
    "Stage",
    "generate",
    "generate_recordings",
    "load_ground_truth",
    "plan_clip",
    "plan_clips",
    "render",
    "render_clip",
    "retarget",
]
