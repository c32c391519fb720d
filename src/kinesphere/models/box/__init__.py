"""The recogniser in the box: model files that ship with the package, and what their files do not say.

A file is called after the tag of its weights and what it looks at: `basic_rgb.safetensors` holds
`<architecture>.basic`. `fusion.json` fuses them, `scores.json` is what they scored on real footage, which
`make docs` takes from the records in `benchmarks/results`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
SCORES = "scores.json"
LARGEST_BYTES = 6_000_000
"""What all files of the box may weigh together."""
LICENCE = "Apache-2.0"
LIMITS = (
    "It was trained on generated people alone and has never seen a real one.",
    "On real footage answers from pixels alone are mostly wrong, those from joints about half of the time.",
    "It answers about the clip as a whole: of several people it does not say who does what.",
    "People lower than about a quarter of the frame are too small for its pixels.",
    "Movements are told apart, not what they are for: a push in play and one in a fight are the same.",
)
"""What a user has to know of the box before trusting an answer."""
