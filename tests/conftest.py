"""What all tests share."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# The same examples in every run, however slow the machine is.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers already fill the cores
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the programs that tests start

# Looking through so many objects takes a twentieth of a second.
MANY_OBJECTS = 200_000


def pytest_collection_finish() -> None:
    leave_alone_what_stays()


@pytest.fixture(scope="module", autouse=True)
def _leave_alone_what_stays() -> Iterator[None]:
    yield
    if len(gc.get_objects()) > MANY_OBJECTS:
        leave_alone_what_stays()


def leave_alone_what_stays() -> None:
    """The collector looks no more through modules and tests, which are millions of objects.

    Every training calls it, and it would take a second each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def mannequins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with 24 generated videos of three movements, split by performer, and their manifest."""
    from kinesphere.synthetic import MannequinSettings, generate

    settings = MannequinSettings(
        classes=("fall", "get up", "wave"),
        clips_per_class=8,
        splits=(0.5, 0.25, 0.25),
        size=(48, 64),
        fps=8,
        performers=6,
        scenes=6,
        truth=False,
    )
    return generate(settings, tmp_path_factory.mktemp("mannequins"), workers=1).parent
