"""Reports that people read: one self-contained HTML file."""

from kinesphere.apps.html.curves import read_curves
from kinesphere.apps.html.examples import Example, choose_examples, pose_finder, with_frames
from kinesphere.apps.html.explained import explainer
from kinesphere.apps.html.localiser import render_localiser, write_localiser_html
from kinesphere.apps.html.people_detector import write_people_html
from kinesphere.apps.html.report import render_report, write_report_html

__all__ = [
    "Example",
    "choose_examples",
    "explainer",
    "pose_finder",
    "read_curves",
    "render_localiser",
    "render_report",
    "with_frames",
    "write_localiser_html",
    "write_people_html",
    "write_report_html",
]
