"""Small networks of the installed transformers library, read into ours: from files and from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kinesphere.models import Recogniser, import_checkpoint, import_state

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: nothing to compare with"
)

LABELS = {0: "clap", 1: "jump", 2: "wave"}
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "patch_size": 8,
    "image_size": 32,
    "num_frames": 4,
}


def peer(kind: str, **settings: Any) -> Any:
    """A fresh network of theirs whose every parameter is drawn at random."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(id2label=LABELS, label2id={}, **settings)
    net = getattr(transformers, f"{kind}ForVideoClassification")(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)
    return net


def clips(length: int = 4, size: int = 32) -> Tensor:
    return torch.randn(2, length, 3, size, size, generator=torch.Generator().manual_seed(1))


def assert_equal(ours: Recogniser, theirs: Any, x: Tensor) -> None:
    with torch.inference_mode():
        expected, logits = theirs(x).logits, ours(x)
    assert logits.shape == expected.shape
    assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()


def saved(net: Any, folder: Path) -> Path:
    net.save_pretrained(folder)
    return folder / "model.safetensors"


def vjepa2(**settings: int) -> Any:
    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_pooler_layers": 2,
        "patch_size": 8,
        "crop_size": 32,
        "frames_per_clip": 4,
        "pred_hidden_size": 24,
        "pred_num_attention_heads": 2,
        "pred_num_hidden_layers": 1,
    }
    return peer("VJEPA2", **{**sizes, **settings})


VJEPA2 = {"width": 64, "heads": 2}
VIVIT = {**{k: v for k, v in SMALL.items() if k != "patch_size"}, "tubelet_size": [2, 8, 8]}
CASES = [
    ("timesformer_tiny", lambda: peer("Timesformer", **SMALL), {}, 4),
    (
        "timesformer_joint_tiny",
        lambda: peer("Timesformer", **SMALL, attention_type="joint_space_time"),
        {},
        4,
    ),
    # theirs leaves the averaging of the frames to the caller
    ("timesformer_space_tiny", lambda: peer("Timesformer", **SMALL, attention_type="space_only"), {}, 1),
    ("videomae_tiny", lambda: peer("VideoMAE", **SMALL), {}, 4),
    ("vivit_tiny", lambda: peer("Vivit", **VIVIT), {}, 4),
    ("vjepa2_tiny", vjepa2, VJEPA2, 4),
]


@pytest.mark.parametrize(("model", "build", "arguments", "length"), CASES, ids=[case[0] for case in CASES])
def test_files_and_states_give_their_logits_and_class_names(model, build, arguments, length, tmp_path):
    theirs = build()
    from_file = import_checkpoint(saved(theirs, tmp_path), model, arguments=arguments)
    assert from_file.labels.names == tuple(LABELS.values())
    assert_equal(from_file, theirs, clips(length))
    in_memory = import_state(theirs.state_dict(), model, arguments=arguments).net.state_dict()
    assert all(torch.equal(x, in_memory[key]) for key, x in from_file.net.state_dict().items())


def test_timesformer_takes_the_nearest_places():
    theirs = peer("Timesformer", **SMALL)
    ours = import_state(theirs.state_dict(), "timesformer_tiny")
    assert_equal(ours, theirs, clips(4, 48))


def test_timesformer_takes_the_nearest_times():
    theirs = peer("Timesformer", **{**SMALL, "num_frames": 8})
    state = theirs.state_dict()
    times = "timesformer.embeddings.time_embeddings"
    state[times] = state[times][:, ::2].repeat_interleave(2, 1)
    theirs.load_state_dict(state)
    ours = import_state(state | {times: state[times][:, ::2]}, "timesformer_tiny")
    assert_equal(ours, theirs, clips(8))


@pytest.mark.parametrize(("length", "size"), [(8, 32), (4, 48)])
def test_videomae_for_other_clips_is_the_network_built_for_them(length, size):
    theirs = peer("VideoMAE", **{**SMALL, "num_frames": length, "image_size": size})
    ours = import_state(theirs.state_dict(), "videomae_tiny")
    assert_equal(ours, theirs, clips(length, size))


@pytest.mark.parametrize(("length", "size"), [(8, 32), (4, 48)])
def test_vjepa2_for_other_clips_is_the_network_built_for_them(length, size):
    theirs = vjepa2(frames_per_clip=length, crop_size=size)
    ours = import_state(theirs.state_dict(), "vjepa2_tiny", arguments=VJEPA2)
    assert_equal(ours, theirs, clips(length, size))


def test_vjepa2_with_channels_that_are_no_multiple_of_six():
    """The published heads of 64 channels leave four of them unturned."""
    theirs = vjepa2(hidden_size=128)
    ours = import_state(theirs.state_dict(), "vjepa2_tiny", arguments={"width": 128, "heads": 2})
    assert_equal(ours, theirs, clips())
    assert "left out vjepa2.predictor" in " ".join(ours.provenance.notes)
