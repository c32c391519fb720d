from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kinesphere.core.errors import InUse, KinesphereError, UnusableName, UnwritableFile
from kinesphere.core.files import claiming, replacing, sweep

PROGRAM = """
import sys, time
from pathlib import Path
from kinesphere.core.files import claiming, replacing
with {block}:
    {first}
    print("begun", flush=True)
    time.sleep(60)
"""


def begun(block: str, first: str = "pass") -> subprocess.Popen[str]:
    """A process that is inside a block."""
    program = textwrap.dedent(PROGRAM).format(block=block, first=first)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def write_half(target: Path, error: Exception) -> None:
    with replacing(target) as temporary:
        temporary.write_text("half")
        raise error


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    with replacing(target) as temporary:
        temporary.write_text("new")
        temporary.with_name(".tmpAb12").write_text("a library's own")
        assert not target.exists()
    assert target.read_text() == "new"
    with pytest.raises(ValueError, match="on the way"):
        write_half(target, ValueError("on the way"))
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_leftovers_of_killed_writers_go_and_files_of_living_ones_stay(tmp_path: Path) -> None:
    living = begun(f"replacing(Path({str(tmp_path / 'a')!r})) as part", "part.write_text('half')")
    killed = begun(f"replacing(Path({str(tmp_path / 'b')!r})) as part", "part.write_text('half')")
    end(killed)
    assert len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path)
    (left,) = tmp_path.iterdir()
    assert (left / "a").read_text() == "half"
    end(living)
    sweep(tmp_path)
    sweep(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_the_first_file_that_is_made_somewhere_sweeps_there(tmp_path: Path) -> None:
    living = begun(f"replacing(Path({str(tmp_path / 'a')!r})) as part", "part.write_text('half')")
    killed = begun(f"replacing(Path({str(tmp_path / 'b')!r})) as part", "part.write_text('half')")
    end(killed)
    with replacing(tmp_path / "c") as part:
        part.write_text("whole")
    left = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert [(path / "a").read_text() for path in left] == ["half"]
    end(living)


def test_what_one_process_claims_no_other_gets_until_it_ends(tmp_path: Path) -> None:
    claim = tmp_path / ".lock"
    other = begun(f"claiming(Path({str(claim)!r}), 'this place')")
    taken = pytest.raises(
        InUse, match=rf"this place is in use by another process \({other.pid} on .*\); wait"
    )
    with taken, claiming(claim, "this place"):
        pass
    end(other)
    assert claim.exists()
    with claiming(claim, "this place"):
        pass
    assert not claim.exists()


def test_children_do_not_keep_a_claim_alive(tmp_path: Path) -> None:
    with claiming(tmp_path / ".lock", "this place"):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    try:
        with claiming(tmp_path / ".lock", "this place"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EINVAL])
def test_file_systems_without_locks_are_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("kinesphere.core.files.lock", refuse)
    with claiming(tmp_path / ".lock", "this place"):
        assert "this place cannot be locked" in caplog.text
    assert not list(tmp_path.iterdir())
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "file").read_text() == "whole"


def _long(folder: Path) -> Path:
    return folder / ("n" * 300)


def _below_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "below.txt"


def _a_folder(folder: Path) -> Path:
    (folder / "taken" / "inside").mkdir(parents=True)
    return folder / "taken"


@pytest.mark.parametrize(
    ("place", "kind", "words"),
    [
        (_long, UnusableName, "File name too long; choose a shorter name"),
        (_below_a_file, UnwritableFile, "a file lies where a folder is needed"),
        (_a_folder, UnwritableFile, "a folder of this name is there; choose another name"),
        (lambda _: Path("/proc/nothing/here.txt"), UnwritableFile, "cannot be written: No such file"),
    ],
)
def test_places_that_cannot_be_written_to_say_why(
    tmp_path: Path, place: Callable[[Path], Path], kind: type[KinesphereError], words: str
) -> None:
    with pytest.raises(kind, match=words), replacing(place(tmp_path)) as temporary:
        temporary.write_text("x")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device; free some space"),
        (errno.EROFS, "Read-only file system; choose a place that can be written to"),
        (errno.EACCES, "Permission denied; choose a place that you may write to"),
        (errno.EIO, "Input/output error; check the disk"),
    ],
)
def test_what_the_system_refuses_keeps_the_old_file(tmp_path: Path, number: int, words: str) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(UnwritableFile, match=f"file cannot be written: {words}"):
        write_half(target, OSError(number, os.strerror(number)))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
