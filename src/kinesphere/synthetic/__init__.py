"""The mannequin: videos of human movement made to order, with the truth about every frame.

`generate` writes a data set of single movements, `generate_recordings` long annotated ones,
`kinesphere.synthetic.mocap.render_motions` one of motion capture; `render_clip` draws one video in
memory, and `retarget` makes joints in space a motion. Motions, bodies, cameras and scenes are independent of
one another: anything with the methods of `Motion` can be performed by any `Performer` in any `Scene` through
`render`.
"""

from kinesphere.synthetic.body.retarget import retarget
from kinesphere.synthetic.clips import ClipPlan, plan_clip, plan_clips, render_clip
from kinesphere.synthetic.dataset import generate
from kinesphere.synthetic.motion.motion import Motion, Recorded
from kinesphere.synthetic.recordings import generate_recordings
from kinesphere.synthetic.render.render import Figure, Look, Rendered, Stage, Truth, render
from kinesphere.synthetic.render.truth import load_truth
from kinesphere.synthetic.settings import (
    DEFAULT_CLASSES,
    SPEED_PAIRS,
    TIME_REVERSED,
    MannequinSettings,
)

__all__ = [
    "DEFAULT_CLASSES",
    "SPEED_PAIRS",
    "TIME_REVERSED",
    "ClipPlan",
    "Figure",
    "Look",
    "MannequinSettings",
    "Motion",
    "Recorded",
    "Rendered",
    "Stage",
    "Truth",
    "generate",
    "generate_recordings",
    "load_truth",
    "plan_clip",
    "plan_clips",
    "render",
    "render_clip",
    "retarget",
]
