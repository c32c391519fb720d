"""Names of the files that a data set's recordings become."""

from __future__ import annotations

from kinesphere.clips.modalities.pose.file import SUFFIX
from kinesphere.core.errors import InvalidAnnotation

# Of each part, in bytes. File systems take 255, and a file that is being written has a longer name.
_LONGEST, _LONGEST_IN_ALL = 200, 1000


def file_name(name: str) -> str:
    """The path of a recording's pose file below its folder, with forward slashes.

    Leading slashes and parts that would climb (`..`) are dropped or replaced.

    Raises:
        InvalidAnnotation: If no file can have that name.
    """
    parts = [part.replace("..", "_") for part in name.split("/") if part.strip() not in ("", ".")]
    if not parts or any(ord(sign) < 32 for part in parts for sign in part):
        raise InvalidAnnotation(f"{name[:80]!r} is no name for a file; rename it.")
    parts[-1] += SUFFIX
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise InvalidAnnotation(f"{name[:80]!a} is no name in UTF-8; rename it.") from None
    if max(lengths) > _LONGEST or sum(lengths) + len(lengths) > _LONGEST_IN_ALL:
        raise InvalidAnnotation(f"{name[:80]!r} is too long for a file ({max(lengths)} bytes); shorten it.")
    return "/".join(parts)
