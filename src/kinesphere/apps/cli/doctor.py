"""`kinesphere doctor`: what works on this machine."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kinesphere.apps.cli.console import console, print_json, tinted
from kinesphere.apps.cli.options import Json

EXTRAS = {
    "pose": ("mediapipe",),
    "people": ("trackers",),
    "words": ("tokenizers",),
    "web": ("gradio", "fastapi", "uvicorn"),
    "live": ("paho", "starlette", "uvicorn", "websockets"),
    "export": ("onnx", "onnxruntime", "openvino"),
    "scale": ("ray",),
    "track": ("wandb", "mlflow"),
}

CODECS: dict[str, Literal["r", "w"]] = {
    "h264": "r",
    "hevc": "r",
    "mpeg4": "r",
    "vp9": "r",
    "libdav1d": "r",
    "libx264": "w",
    "libvpx-vp9": "w",
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Attributes:
        state: `"ok"`, `"missing"` (optional, not installed) or `"broken"`.
    """

    subject: str
    state: str
    detail: str


def doctor(as_json: Json = False) -> None:
    """Say what works here: devices, codecs, extras."""
    findings = [*_machine(), *_companions(), *_codecs(), *_extras(), _weights()]
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    from rich.table import Table

    colours = {"ok": "green", "missing": "yellow", "broken": "red"}
    table = Table("what", "state", "detail", title="kinesphere doctor")
    for finding in findings:
        colour = colours[finding.state]
        table.add_row(finding.subject, tinted((finding.state, colour)), finding.detail)
    console().print(table)


def _machine() -> list[Finding]:
    import torch

    from kinesphere import __version__
    from kinesphere.core.device import Compute, cpu_count

    compute = Compute.choose()
    return [
        Finding("kinesphere", "ok", f"{__version__}, Python {platform.python_version()}, {sys.platform}"),
        Finding("torch", "ok", f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"),
        Finding("cores", "ok", f"{cpu_count()} usable, torch uses {torch.get_num_threads()} threads"),
        Finding(
            "device",
            "ok",
            f"{compute.device}, {compute.precision}"
            + (", channels-last" if compute.channels_last else "")
            + ("" if compute.precision != "fp32" else " (no native bf16 here)"),
        ),
    ]


def _companions() -> list[Finding]:
    """Packages of others that break ours where they do not fit; nothing is printed where they are absent."""
    from importlib.metadata import PackageNotFoundError, version

    from kinesphere.core.companions import check_torchvision
    from kinesphere.core.errors import BrokenPackage

    try:
        found = version("torchvision")
        check_torchvision()
    except PackageNotFoundError:
        return []
    except BrokenPackage as error:
        return [Finding("torchvision", "broken", str(error))]
    return [Finding("torchvision", "ok", f"{found}, not needed")]


def _codecs() -> list[Finding]:
    import av

    findings = []
    for name, mode in CODECS.items():
        purpose = "decode" if mode == "r" else "encode"
        try:
            codec = av.Codec(name, mode)
        except (ValueError, av.FFmpegError) as error:
            findings.append(Finding(f"{purpose} {name}", "broken", str(error)))
        else:
            findings.append(Finding(f"{purpose} {name}", "ok", codec.long_name))
    return findings


def _extras() -> list[Finding]:
    from importlib.util import find_spec

    findings = []
    for extra, packages in EXTRAS.items():
        absent = [name for name in packages if find_spec(name) is None]
        if absent:
            hint = f"pip install 'kinesphere[{extra}]'"
            findings.append(
                Finding(f"extra {extra}", "missing", f"{', '.join(absent)} not installed; {hint}")
            )
        else:
            findings.append(Finding(f"extra {extra}", "ok", ", ".join(map(_versioned, packages))))
    return findings


def _versioned(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _weights() -> Finding:
    folder = os.environ.get("KINESPHERE_WEIGHTS")
    if not folder:
        return Finding(
            "weights", "ok", "downloaded to the cache when first used (KINESPHERE_WEIGHTS is not set)"
        )
    if not Path(folder).is_dir():
        return Finding("weights", "broken", f"KINESPHERE_WEIGHTS names {folder}, which is not a folder")
    count = sum(path.is_file() for path in Path(folder).iterdir())
    return Finding("weights", "ok", f"{count} files in {folder}, looked into before downloading")
