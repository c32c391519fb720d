"""Human action recognition in video: labelled videos in, a recogniser you can trust out.

Public names load on first use, so that `import kinesphere` stays fast. The verbs that share their
name with a room live in it: `from kinesphere.train import train`,
`from kinesphere.evaluate import evaluate`.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {
    "KinesphereError": "kinesphere.core.errors",
    "Video": "kinesphere.video",
    "Clip": "kinesphere.clips",
    "ClipSpec": "kinesphere.clips",
    "Sampling": "kinesphere.clips",
    "Manifest": "kinesphere.data",
    "Sample": "kinesphere.data",
    "create_model": "kinesphere.models",
    "list_models": "kinesphere.models",
    "load": "kinesphere.predict",
    "Predictor": "kinesphere.predict",
    "Prediction": "kinesphere.predict",
    "Timeline": "kinesphere.predict",
    "Report": "kinesphere.evaluate",
    "Recipe": "kinesphere.train",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    try:
        module = _PUBLIC[name]
    except KeyError:
        raise AttributeError(f"module 'kinesphere' has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
