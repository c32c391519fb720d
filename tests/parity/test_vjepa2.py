from __future__ import annotations

import pytest
import torch
from tests.parity.conftest import recorded
from torch import Tensor, nn

from kinesphere.core.errors import InvalidCheckpoint
from kinesphere.core.labels import LabelSet
from kinesphere.models.attentive import AttentivePooler
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.importing import NoClassifier, import_checkpoint
from kinesphere.models.weights.keymap import StateDict
from kinesphere.models.weights.matching import Match, matches
from kinesphere.models.weights.starting import model_of, start_from
from kinesphere.models.zoo.vjepa2 import MAPS

SMALL = {"width": 96, "heads": 4, "depth": 3}
LABELS = ("walk", "run")


@pytest.mark.parametrize(
    ("fixture", "layout"), [("hf_vjepa2_cls_tiny", "huggingface"), ("vjepa2_encoder_probe", "vjepa2")]
)
def test_public_states_give_public_logits(check_parity, fixture, layout):
    check_parity(fixture, "vjepa2_tiny", layout=layout, arguments=SMALL)


@pytest.mark.parametrize("fixture", ["vjepa2_attentive_probe", "vjepa2_attentive_probe_d1"])
def test_a_probe_gives_the_public_logits_of_tokens(fixture):
    peer = recorded(fixture)
    config = peer.meta["model_cfg"]
    pooler = AttentivePooler(config["embed_dim"], config["num_heads"], config["depth"] - 1, eps=1e-5)
    probe = nn.ModuleDict({"pooler": pooler, "fc": nn.Linear(config["embed_dim"], config["num_classes"])})
    authors = next(key_map for key_map in MAPS if key_map.layout == "vjepa2")
    probe.load_state_dict(authors.to_ours({f"probe.{key}": x for key, x in peer.state.items()}).state)
    with torch.inference_mode():
        out = probe["fc"](pooler(peer.x))
    assert (out - peer.logits).abs().max() / peer.logits.abs().max() < peer.tolerance


def encoder_of(layout: str, model: str = "vjepa2_tiny") -> StateDict:
    """The encoder of a network under its publisher's names."""
    key_map = next(key_map for key_map in MAPS if key_map.layout == layout)
    own = MODELS.get(model).builder(5).state_dict()
    encoder = {key: x for key, x in own.items() if not key.startswith(("pooler.", "fc."))}
    return key_map.to_theirs(encoder).state


@pytest.mark.parametrize("layout", ["huggingface_encoder", "vjepa2_encoder"])
def test_an_encoder_alone_is_a_backbone_under_a_fresh_probe(layout, tmp_path):
    state = encoder_of(layout)
    if layout == "vjepa2_encoder":  # as the authors' training wrote it
        wrapped = {f"module.backbone.{key}": x for key, x in state.items()}
        content: object = {
            "encoder": {key: x + 1 for key, x in wrapped.items()},
            "target_encoder": wrapped,
            "predictor": {"module.backbone.query": torch.zeros(2)},
            "epoch": 3,
        }
    else:
        content = state | {"predictor.embeddings.mask_tokens": torch.zeros(2)}
    torch.save(content, tmp_path / "encoder.pt")
    with pytest.raises(NoClassifier, match="without a classifier"):
        import_checkpoint(tmp_path / "encoder.pt", "vjepa2_tiny")
    recogniser = start_from(str(tmp_path / "encoder.pt"), "vjepa2_tiny", LabelSet(LABELS), {})
    assert {key.partition(".")[0] for key in recogniser.reset} == {"pooler", "fc"}
    recogniser.freeze("norm")
    assert {key for key, x in recogniser.net.named_parameters() if x.requires_grad} == set(recogniser.reset)
    key_map = next(key_map for key_map in MAPS if key_map.layout == layout)
    kept = {key: x for key, x in recogniser.net.state_dict().items() if key not in recogniser.reset}
    back = key_map.to_theirs(kept).state
    assert set(back) == set(state)
    assert all(torch.equal(back[key], state[key]) for key in back)


@pytest.mark.parametrize("layout", ["huggingface_encoder", "vjepa2_encoder"])
def test_the_published_encoder_is_recognised_by_its_tensors(layout):
    with torch.device("meta"):
        state = encoder_of(layout, "vjepa2_l")
    assert matches(state) == (Match("vjepa2_l", layout, None),)


def vjepa21(width: int) -> dict[str, Tensor]:
    state = {key: torch.zeros(2, 2) for key in ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight")}
    state |= {f"norms_block.{i}.weight": torch.zeros(width) for i in range(4)}
    return state | {"video_mod_embed": torch.zeros(1, 1, width)}


INTERNVIDEO2 = {
    "patch_embed.proj.weight": torch.zeros(8, 3, 1, 2, 2),
    "blocks.0.norm1.weight": torch.zeros(384),
    "blocks.0.attn.q_norm.weight": torch.zeros(384),
    "blocks.0.ls1.gamma": torch.zeros(384),
    "clip_projector.norm1_q.weight": torch.zeros(384),
    "head.weight": torch.zeros(5, 8),
}
PROBE = {
    "module.pooler.query_tokens": torch.zeros(1, 1, 8),
    "module.pooler.cross_attention_block.xattn.kv.weight": torch.zeros(16, 8),
    "module.linear.weight": torch.zeros(5, 8),
}
UNREAD = [
    (
        {"ema_encoder": {f"module.backbone.{key}": x for key, x in vjepa21(768).items()}, "predictor": {}},
        "are those of V-JEPA 2.1 ViT-B/16, which is not read here: no recorded result .*ViT-L/16. is read",
    ),
    (vjepa21(8), "those of V-JEPA 2.1 .width 8., which is not read here"),
    ({"module": INTERNVIDEO2}, "are those of InternVideo2 S/14, which is not read here: no recorded result"),
    (
        {"classifiers": [PROBE, PROBE], "epoch": 3},
        "probe without its encoder, which .* vjepa2_l.ssv2",
    ),
]


@pytest.mark.parametrize(("content", "message"), UNREAD)
def test_other_encoders_are_refused_by_name(content, message, tmp_path):
    torch.save(content, tmp_path / "encoder.pt")
    with pytest.raises(InvalidCheckpoint, match=message):
        import_checkpoint(tmp_path / "encoder.pt", "vjepa2_tiny")
    with pytest.raises(InvalidCheckpoint, match=message):
        model_of(str(tmp_path / "encoder.pt"))
