"""Clips of alarms, exact to a frame: every frame has its number drawn into it, and files are read back."""

from __future__ import annotations

import json
import sys
import threading
import time

import numpy as np
import pytest
from alarm_makers import SIZE, an_alarm, live_frame, number_in, until

from kinesphere.core.errors import InvalidSetting, UnwritableFile
from kinesphere.live.recorder import Recorder, RecorderSettings
from kinesphere.video import Video

RATE = 20


def recorder_in(folder, **settings):
    return Recorder(RecorderSettings(folder, **{"before_s": 1.0, "after_s": 0.5, "lag_s": 0.5, **settings}))


def record(folder, alarms, times, **settings):
    """Recorder of a stream of these times, in which an alarm is raised some frames after its own.

    Args:
        alarms: Number of a frame, and after how many more its alarm is raised.
    """
    recorder = recorder_in(folder, **settings)
    due = sorted((number + late, number) for number, late in alarms)
    for number, time_s in enumerate(times):
        recorder.frame(live_frame(number, time_s))
        for _, about in [each for each in due if each[0] == number]:
            recorder.alarm(an_alarm(about, times[about]))
    recorder.close()
    return recorder


def clips_in(folder):
    """Numbers drawn in the frames, times, and what stands beside it, of each clip in order."""
    clips = []
    for path in folder.glob("*.mp4"):
        with Video.open(path) as video:
            times = video.frame_times()
            frames = video.frames_at(times).data.transpose(0, 2, 3, 1)
        clips.append(
            ([number_in(frame) for frame in frames], times, json.loads(path.with_suffix(".json").read_text()))
        )
    assert len(list(folder.iterdir())) == 2 * len(clips)
    return sorted(clips, key=lambda clip: clip[2]["first_frame"])


def test_a_clip_holds_each_frame_from_before_to_after_and_no_other(tmp_path):
    recorder = record(tmp_path, [(60, 3)], [number / RATE for number in range(120)])
    ((numbers, times, beside),) = clips_in(tmp_path)
    assert numbers == list(range(40, 71))
    assert times == pytest.approx(np.arange(31) / RATE, abs=1e-5)
    assert (beside["first_frame"], beside["last_frame"], beside["frames"]) == (40, 70, 31)
    assert (beside["start"], beside["end"], beside["missing"]) == (2.0, 3.5, [])
    assert not beside["incomplete"]
    assert [(each["alarm"], each["frame"], each["at"]) for each in beside["alarms"]] == [("fall", 60, 1.0)]
    counts = recorder.counts
    assert (counts.clips, counts.failed, counts.incomplete, counts.missed) == (1, 0, 0, 0)


def test_times_are_those_of_the_stream_whatever_its_rate(tmp_path):
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.choice([0.02, 0.04, 0.05, 0.31], 150)).tolist()
    record(tmp_path, [(75, 2)], times)
    ((numbers, got, _),) = clips_in(tmp_path)
    expected = [n for n, t in enumerate(times) if times[75] - 1.0 <= t <= times[75] + 0.5]
    assert numbers == expected
    assert got == pytest.approx([times[n] - times[expected[0]] for n in expected], abs=1e-5)


def test_alarms_that_come_before_a_clip_ends_extend_it_and_later_ones_have_their_own(tmp_path):
    recorder = record(tmp_path, [(40, 1), (49, 9), (90, 0)], [number / RATE for number in range(150)])
    first, second = clips_in(tmp_path)
    assert first[0] == list(range(20, 60))
    assert [each["frame"] for each in first[2]["alarms"]] == [40, 49]
    assert second[0] == list(range(70, 101))
    assert recorder.counts.clips == 2


def test_a_clip_is_not_extended_beyond_the_longest(tmp_path):
    record(tmp_path, [(40, 0), (48, 0), (56, 0)], [number / RATE for number in range(150)], longest_s=2.0)
    first, second = clips_in(tmp_path)
    assert first[0] == list(range(20, 59))
    assert second[0] == list(range(36, 67))  # frames that both hold are in both


def test_an_alarm_at_the_start_or_the_end_has_what_there_was(tmp_path):
    recorder = record(tmp_path, [(5, 0), (57, 1)], [number / RATE for number in range(60)])
    first, second = clips_in(tmp_path)
    assert first[0] == list(range(16))
    assert second[0] == list(range(37, 60))
    assert (first[2]["incomplete"], second[2]["incomplete"]) == (False, True)
    assert recorder.counts.incomplete == 1


def test_a_clip_ends_when_the_stream_does_not_come_back(tmp_path):
    recorder = recorder_in(tmp_path, after_s=0.2, lag_s=0.0)
    for number in range(30):
        recorder.frame(live_frame(number, number / RATE))
    recorder.alarm(an_alarm(29, 29 / RATE))
    until(lambda: recorder.counts.clips == 1)
    recorder.close()
    ((numbers, _, beside),) = clips_in(tmp_path)
    assert numbers == list(range(9, 30))
    assert beside["incomplete"]


def test_frames_of_another_size_go_on_in_another_file(tmp_path):
    recorder = recorder_in(tmp_path)
    for number in range(60):
        size = SIZE if number < 25 else (48, SIZE[1])
        recorder.frame(live_frame(number, number / RATE, size))
        if number == 22:
            recorder.alarm(an_alarm(22, 22 / RATE))
    recorder.close()
    first, second = clips_in(tmp_path)
    assert first[0] + second[0] == list(range(2, 33))
    assert len(second[0]) == 8
    assert (first[2]["incomplete"], second[2]["incomplete"]) == (True, True)


def test_memory_is_bounded_and_a_clip_tells_that_it_lacks_frames(tmp_path):
    recorder = recorder_in(tmp_path, before_s=60.0, memory_bytes=1 << 20)
    noise = np.random.default_rng(0).integers(0, 255, (96, 160, 3), np.uint8)
    for number in range(140):
        frame = live_frame(number, number / RATE, (96, 160))
        frame.pixels[40:] = noise[40:]
        recorder.frame(frame)
        until(lambda: not recorder._inbox)
    recorder.alarm(an_alarm(139, 139 / RATE))
    recorder.close()
    assert recorder.kept_bytes <= 1 << 20
    ((numbers, _, beside),) = clips_in(tmp_path)
    assert 0 < numbers[0] == beside["first_frame"]
    assert numbers[-1] == 139
    assert beside["incomplete"]


def test_a_recorder_that_does_not_keep_up_misses_frames_and_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setattr("kinesphere.live.recorder._INBOX_BYTES", 5 * live_frame(0, 0).pixels.nbytes)
    recorder = recorder_in(tmp_path)
    gate, keep = threading.Event(), recorder._keep
    monkeypatch.setattr(recorder, "_keep", lambda frame: (gate.wait(10), keep(frame)))
    recorder.frame(live_frame(0, 0))
    until(lambda: not recorder._inbox)
    for number in range(1, 20):
        recorder.frame(live_frame(number, number / RATE))
    recorder.alarm(an_alarm(19, 19 / RATE))
    gate.set()
    recorder.close()
    ((numbers, _, _),) = clips_in(tmp_path)
    assert numbers == list(range(6))
    assert recorder.counts.missed == 14


def test_a_patient_recorder_lets_the_source_wait_and_misses_nothing(tmp_path, monkeypatch):
    """As files can, which are read as fast as possible."""
    monkeypatch.setattr("kinesphere.live.recorder._INBOX_BYTES", 2 * live_frame(0, 0).pixels.nbytes)
    recorder = record(tmp_path, [(60, 3)], [number / RATE for number in range(120)], patient=True)
    ((numbers, _, _),) = clips_in(tmp_path)
    assert numbers == list(range(40, 71))
    assert recorder.counts.missed == 0


def test_frames_missed_within_a_clip_are_named(tmp_path):
    recorder = recorder_in(tmp_path)
    for number in [*range(25), *range(28, 60)]:
        recorder.frame(live_frame(number, number / RATE))
        if number == 22:
            recorder.alarm(an_alarm(22, 22 / RATE))
    recorder.close()
    ((numbers, times, beside),) = clips_in(tmp_path)
    assert numbers == [*range(2, 25), *range(28, 33)]
    assert (beside["missing"], beside["incomplete"]) == ([25, 26, 27], True)
    assert times[-1] == pytest.approx(1.5, abs=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file sizes")
def test_a_full_disk_costs_the_clip_and_not_the_watching(tmp_path, caplog):
    import resource

    recorder = recorder_in(tmp_path)
    for number in range(40):
        recorder.frame(live_frame(number, number / RATE))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        recorder.alarm(an_alarm(25, 25 / RATE))
        for number in range(40, 80):
            recorder.frame(live_frame(number, number / RATE))
        until(lambda: recorder.counts.failed == 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot be" in recorder.counts.problem
    assert "The clip of the alarm 'fall' is not whole" in caplog.text
    assert not list(tmp_path.iterdir())
    recorder.alarm(an_alarm(75, 75 / RATE))
    recorder.close()
    assert (recorder.counts.clips, recorder.counts.problem) == (1, "")


def test_an_alarm_after_the_end_is_counted_as_not_recorded(tmp_path):
    recorder = record(tmp_path, [], [0.0])
    recorder.alarm(an_alarm(0, 0.0))
    assert (recorder.counts.failed, list(tmp_path.iterdir())) == (1, [])
    assert recorder.counts.problem == "the alarm 'fall' came when nothing was recorded any more"


def test_nothing_is_written_by_half(tmp_path):
    """While a clip grows there is no file of its name, and what a killed process left is removed."""
    left = tmp_path / ".kinesphere-left"
    left.mkdir()
    recorder = recorder_in(tmp_path, after_s=5.0)
    assert not left.exists()
    for number in range(30):
        recorder.frame(live_frame(number, number / RATE))
    recorder.alarm(an_alarm(29, 29 / RATE))
    until(lambda: any(tmp_path.iterdir()))
    time.sleep(0.05)
    assert not list(tmp_path.glob("*.mp4"))
    recorder.close()
    assert len(clips_in(tmp_path)) == 1


def test_what_cannot_be_recorded_is_refused(tmp_path):
    for values, message in (
        ({"before_s": -1.0}, "from 0 on; got -1.0, 0.5 and 0.5"),
        ({"longest_s": 1.0}, "longer than the longest, 1 s; raise longest_s"),
        ({"memory_bytes": 10}, "1 MiB of memory or more; got 10"),
    ):
        with pytest.raises(InvalidSetting, match=message):
            recorder_in(tmp_path, **values)
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableFile, match="a file lies where a folder is needed"):
        recorder_in(tmp_path / "file")
