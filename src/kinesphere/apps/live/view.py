"""What the browser page is sent: the frame that was inferred with its answer, and how things stand."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import cv2
import numpy as np

from kinesphere.apps.live.state import LiveState, Snapshot
from kinesphere.live.result import LiveResult

_QUALITY = 80
_TOP = 5


def view_message(state: LiveState, snapshot: Snapshot, longest_px: int) -> bytes:
    """One message of the page: length of the JSON (4 bytes, big-endian), the JSON, a JPEG or nothing.

    Args:
        state: For the counts that no snapshot holds.
        snapshot: What to show.
        longest_px: The frame's longer side is at most this.
    """
    header = json.dumps(view_json(state, snapshot), ensure_ascii=False).encode()
    pixels = snapshot.picture
    picture = b"" if pixels is None else jpeg(pixels, longest_px)
    return struct.pack(">I", len(header)) + header + picture


def view_json(state: LiveState, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as plain values."""
    p50_s, p95_s = snapshot.latency_s
    frame = snapshot.results[0].frame if snapshot.results else None
    return {
        "source": state.source,
        "away": snapshot.is_away,
        "frame": None if frame is None else frame.number,
        "time": None if frame is None else round(frame.time_s, 3),
        "answers": [_answer(result) for result in snapshot.results],
        "latency_ms": {
            "now": _milliseconds(snapshot.results[-1].latency_s if snapshot.results else math.nan),
            "p50": _milliseconds(p50_s),
            "p95": _milliseconds(p95_s),
        },
        "fps": round(snapshot.fps, 1),
        "frames": snapshot.frames,
        "dropped": snapshot.dropped,
        "incidents": [incident.to_json() for incident in snapshot.incidents],
        "alarms": [alarm.to_json() for alarm in snapshot.alarms],
        **state.outputs(),
    }


def jpeg(image: np.ndarray, longest_px: int) -> bytes:
    """An image uint8 RGB `(H, W, 3)`, made smaller where it is larger than that."""
    scale = longest_px / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return encoded.tobytes()


def _answer(result: LiveResult) -> dict[str, Any]:
    top = [{"label": name, "probability": round(p, 4)} for name, p in result.prediction.top(_TOP)]
    return {"person": result.person, "answer": result.prediction.answer, "top": top}


def _milliseconds(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(1000 * seconds, 1)
