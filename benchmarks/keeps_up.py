"""The highest frame rate that models keep up with on this machine, everything included.

    python -m benchmarks.keeps_up [--only TEXT] [--seconds 8] [--pose-model lite]

What `kinesphere bench` measures, model by model, each in a fresh process: a video of 640x480 pixels at 25
frames a second goes through decoding, preparation (flow and poses are made on the way) and network, window
after window as long as the model's clips, one clip and one crop of each; streaming networks see it frame by
frame. Frames of the video divided by the wall time are the rate. Random weights: they cost what trained ones
do. The video shows a mannequin that moves.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import Row, command_line, finish, significant
from kinesphere.apps.cli.bench import FPS, mannequin_video

MODELS = (
    "kine_small",
    "late_fusion_resnet18",
    "tsn_resnet50",
    "cnn_lstm",
    "r3d_18",
    "x3d_s",
    "slowfast_resnet50",
    "movinet_a0_stream",
    "tsm_mobilenetv2_online",
    "mvit_v2_s",
    "videomae_s",
    "clip_vit_b32",
    "kine_small_flow",
    "stgcn",
    "posec3d_slowonly_resnet50",
)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="models whose names contain TEXT")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the video")
    parser.add_argument("--pose-model", default="full", help="what finds poses: lite, full or heavy")
    args = parser.parse_args()
    chosen = [name for name in MODELS if args.only in name]
    rows, left_out = [], []
    with tempfile.TemporaryDirectory() as folder:
        video = mannequin_video(Path(folder) / "mannequin.mp4", args.seconds)
        for name in chosen:
            found = measured(name, video, args.pose_model)
            if isinstance(found, str):
                left_out.append(f"{name} is left out: {found}")
            else:
                rows.append(found)
    if not rows:
        parser.exit(1, "\n".join([*left_out, ""]))
    rows.sort(key=lambda row: -float(row["keeps up with, fps"]))
    slow = [str(row["model"]) for row in rows if float(row["keeps up with, fps"]) < FPS]
    behind = f"Slower than the video's own {FPS} frames a second: {', '.join(slow) or 'none'}."
    finish(
        "keeps_up", "The frame rate that models keep up with", parser, args, rows, notes=[behind, *left_out]
    )


def measured(name: str, video: Path, pose_model: str = "full") -> Row | str:
    """What a process of its own says of a model; or why it says nothing."""
    command = [sys.executable, "-m", "kinesphere", "bench", name, "--video", str(video), "--json"]
    command += ["--pose-model", pose_model]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    (speed,) = json.loads(done.stdout)
    return {
        "model": name,
        "device": f"{speed['device']}, {speed['precision']}",
        "windows": f"{speed['window_s']:.2f} s{', streaming' if speed['mode'] == 'streaming' else ''}",
        "clip alone, ms": significant(speed["clip_ms"]),
        "clip of a batch, ms": significant(speed["batch_clip_ms"]),
        "window, ms": significant(speed["window_ms"]),
        "memory, MB": f"{speed['memory_mb']:.0f}",
        "keeps up with, fps": significant(speed["keeps_up_fps"]),
    }


if __name__ == "__main__":
    main()
