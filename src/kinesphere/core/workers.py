"""How processes that help this one are started."""

from __future__ import annotations

import multiprocessing
import sys
from typing import Literal

from kinesphere.core.errors import InvalidSetting


def start_method() -> Literal["fork", "spawn"]:
    """How worker processes start here.

    Forked ones share the loaded libraries: they start in milliseconds, and scripts need no
    `if __name__ == "__main__"`. Elsewhere than on Linux they are spawned: they load everything anew, and run
    the script that started them once more.
    """
    return "fork" if sys.platform == "linux" else "spawn"


def refuse_in_workers(what: str) -> None:
    """Raise, with what to do, where a spawned worker runs the script that started it from its top.

    Args:
        what: What the script was about to do, as a noun.

    Raises:
        InvalidSetting: If this process is such a worker.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InvalidSetting(
            f"{what} starts processes, and each of them runs this script from its top, as they are "
            'spawned here; put what the script does below `if __name__ == "__main__":`.'
        )
