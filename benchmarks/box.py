"""The recogniser that comes with the package, made again: `python -m benchmarks.box pose`.

Both halves, on joints and on pixels, know the same classes and learn from generated people alone. What they
share stands here: the classes, and which of the generator's movements show each of them.
"""

from __future__ import annotations

NOTHING_ELSE = "none of these"
MOVEMENTS: dict[str, tuple[str, ...]] = {
    "bend": ("bend",),
    "clap": ("clap",),
    "fall": ("fall", "fall forwards", "fall sideways", "fall off a chair"),
    "get up": ("get up", "get up from the front", "get up from the side"),
    "jump": ("jump", "jumping jack"),
    "kick": ("kick", "kick a ball", "kick to the side"),
    "pick up": ("pick up", "pick up with one hand"),
    "punch": ("punch", "jab"),
    "push": ("push",),
    "run": ("run", "run on the spot"),
    "sit down": ("sit down",),
    "stand up": ("stand up",),
    "throw": ("throw", "throw underarm", "throw with both hands"),
    "turn": ("turn",),
    "walk": ("walk", "walk backwards", "walk on the spot"),
    "wave": ("wave", "wave with both hands", "wave from the elbow"),
    NOTHING_ELSE: (
        "stand", "idle", "sit", "lie", "reach", "swing", "slow swing", "balance", "expand", "contract",
        "stamp", "put down", "put down with one hand", "press", "catch", "pull", "point", "drink",
        "scratch", "shake hands", "embrace", "draw in the air", "hammer", "swing a bat", "squat", "warm up",
    ),
}  # fmt: skip
"""The classes in their order, and the movements of the generator that show them."""
CLASSES: tuple[str, ...] = tuple(MOVEMENTS)
LABEL_OF: dict[str, str] = {each: label for label, names in MOVEMENTS.items() for each in names}
