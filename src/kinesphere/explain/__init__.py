"""Explanations: which pixels, frames and joints an answer rests on, and whether the map is true."""

from kinesphere.explain.attribution import Attribution, InputHeat
from kinesphere.explain.explaining import Question, explain, explain_windows
from kinesphere.explain.method import METHODS, Method, Settings

__all__ = [
    "METHODS",
    "Attribution",
    "InputHeat",
    "Method",
    "Question",
    "Settings",
    "explain",
    "explain_windows",
]
