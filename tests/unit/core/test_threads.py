from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kinesphere.core import device
from kinesphere.core.threads import (
    MULTIPLY_ADDS_PER_THREAD,
    MULTIPLY_ADDS_PER_TRAINING_THREAD,
    STATED,
    WAIT_POLICY,
    WAITING,
    UsableThreads,
    computing_with,
    sleep_while_waiting,
)


@pytest.fixture
def nothing_stated(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*WAITING, WAIT_POLICY, *STATED):
        monkeypatch.setenv(name, "")  # so that what the code sets is taken back
        monkeypatch.delenv(name)
    return monkeypatch


def test_threads_that_wait_sleep_unless_the_user_says_otherwise(nothing_stated: pytest.MonkeyPatch) -> None:
    nothing_stated.setenv("GOMP_SPINCOUNT", "7")
    sleep_while_waiting()
    assert (os.environ["GOMP_SPINCOUNT"], os.environ["KMP_BLOCKTIME"]) == ("7", WAITING["KMP_BLOCKTIME"])
    for name in WAITING:
        nothing_stated.delenv(name)
    nothing_stated.setenv(WAIT_POLICY, "ACTIVE")
    sleep_while_waiting()
    assert not WAITING.keys() & os.environ.keys()


def test_the_command_line_says_so_before_torch_is_loaded(nothing_stated: pytest.MonkeyPatch) -> None:
    code = (
        "import os, sys; from kinesphere import __main__ as program; assert 'torch' not in sys.modules; "
        "sys.argv = ['kinesphere', '--version']\n"
        "try: program.start()\n"
        "finally: print(os.environ['GOMP_SPINCOUNT'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1] == WAITING["GOMP_SPINCOUNT"], done.stderr


def test_threads_follow_the_work_up_to_what_may_be_used(nothing_stated: pytest.MonkeyPatch) -> None:
    nothing_stated.setattr(torch, "get_num_threads", lambda: 16)
    nothing_stated.setattr("kinesphere.core.threads.cpu_count", lambda: 8)
    usable = UsableThreads.here()
    work = [each * MULTIPLY_ADDS_PER_THREAD for each in (0, 1.9, 2, 3.5, 100)]
    assert [usable.suiting(each) for each in work] == [1, 1, 2, 3, 8]
    assert usable.suiting(work[-1], processes=3) == 2
    assert usable.suiting(work[-1], training=True) == 8
    assert usable.suiting(2 * MULTIPLY_ADDS_PER_TRAINING_THREAD, training=True) == 2
    nothing_stated.setenv("OMP_NUM_THREADS", "16")  # what is stated holds, whatever the work and the cores
    assert UsableThreads.here().suiting(0, processes=3) == 16


def test_a_number_of_threads_holds_within_its_context() -> None:
    before = torch.get_num_threads()
    with computing_with(before + 1):
        assert torch.get_num_threads() == before + 1
        with computing_with(None):
            assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "900000 100000"}, 4),
        (
            "5:memory:/m\n3:cpu,cpuacct:/outside\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("nonsense", {}, None),
    ],
)
def test_the_quota_of_control_groups_limits_cores(
    groups: str, files: dict[str, str], cores: int | None, tmp_path: Path
) -> None:
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert device.cpu_quota(tmp_path / "cgroup", tmp_path) == cores


def test_cores_are_counted_within_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cpu_quota", lambda: 1)
    assert device.cpu_count() == 1
