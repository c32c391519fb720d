"""One of several training processes; started by `launch`, or by torchrun on several machines.

torchrun --nnodes 2 --nproc-per-node 8 … -m kinesphere.train.worker RUN_FOLDER
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import record


@record
def main(folder: str, parent: str | None = None) -> None:
    """Fit the run in `folder` as this process's share."""
    from kinesphere.train.files import RunFiles
    from kinesphere.train.fitting import fit
    from kinesphere.train.recipe import Recipe
    from kinesphere.train.resolve import read_data, resolve

    if parent is not None:
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    recipe = Recipe.load(RunFiles(Path(folder)).recipe)
    resolved, parts = resolve(recipe, read_data(recipe.data))
    fit(resolved, parts)


def _end_with(parent: int) -> None:
    """End this process soon after the one that launched it, however that was killed."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
