"""Classes named in words: prompts, tokens, and a model file that needs neither any more."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, MissingWeights
from kinesphere.core.labels import LabelSet
from kinesphere.models import embed_query, import_checkpoint, import_words, load_model, save_model
from kinesphere.models.card import WeightEntry
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.from_files import import_files
from kinesphere.models.weights.readers.tokenizer import read_tokenizer
from kinesphere.models.words import checked_prompts, ensemble

from .word_files import hub


def test_an_ensemble_is_the_mean_of_directions_as_a_direction():
    embeddings = torch.randn(3, 4, 8)
    units = embeddings / embeddings.norm(dim=-1, keepdim=True)
    mean = units.mean(1)
    found = ensemble(embeddings)
    torch.testing.assert_close(
        found / found.norm(dim=-1, keepdim=True), mean / mean.norm(dim=-1, keepdim=True)
    )
    torch.testing.assert_close(ensemble(embeddings[:, :1]), embeddings[:, 0])


@pytest.mark.parametrize("prompts", [[], ["a person"], ["{} and {}"]])
def test_prompts_have_one_gap(prompts):
    with pytest.raises(InvalidSetting, match="texts that name a class at one"):
        checked_prompts(prompts)


def test_names_as_the_encoder_learnt_them():
    siglip, clip = (MODELS.get(name).words for name in ("siglip_tiny", "clip_tiny"))
    assert siglip.of("Sit_Down", ["a person, {}."]) == ["a person sit down"]
    assert clip.of("Sit_Down", ["a person, {}."]) == ["a person, Sit Down."]


def test_classes_change_without_training_and_the_file_needs_no_tokenizer(tmp_path):
    folder = hub(tmp_path)
    two = import_words(folder, "clip_tiny", ["wave", "clap"])
    more = import_words(folder, "clip_tiny", LabelSet(("kick", "wave")))
    assert "knows what appears" in two.provenance.notes[-1]
    saved = save_model(two, tmp_path / "words.safetensors")
    for name in ("vocab.json", "merges.txt", "model.safetensors"):
        (folder / name).unlink()
    again = load_model(saved)
    x = torch.randn(1, 2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(x), two(x))
        torch.testing.assert_close(more(x)[0, 1], two(x)[0, 0])
    assert again.labels.names == ("wave", "clap")


def test_a_sentence_is_compared_by_the_encoder_that_the_model_came_with(tmp_path):
    folder = hub(tmp_path)
    named = import_words(folder, "clip_tiny", ["wave", "clap"], prompts=["{}"])
    torch.testing.assert_close(embed_query(named, "wave", folder), embed_query(named, "wave"))
    hub(tmp_path, seed=1)
    with pytest.raises(InvalidCheckpoint, match="was not imported from"):
        embed_query(named, "wave", folder)
    with pytest.raises(MissingWeights, match="give the folder that the model was imported from"):
        embed_query(named, "wave", folder / "gone.safetensors")
    with pytest.raises(InvalidSetting, match="A search takes words"):
        embed_query(named, " ", folder)


def test_public_files_are_known_by_their_folder(tmp_path, monkeypatch):
    """The hub's files are called alike, and what is named in words has no number of classes."""
    known = MODELS.get("clip_tiny")
    url = "https://huggingface.co/owner/small-clip/resolve/main/model.safetensors"
    entry = WeightEntry("web", url, "huggingface", None, 0, trained_on=("webli",))
    monkeypatch.setitem(
        MODELS._members, "clip_tiny", replace(known, card=replace(known.card, weights=(entry,)))
    )
    for name, model, is_known in [
        ("small-clip", "clip_tiny", True),
        ("owner--small-clip", "clip_tiny", True),
        ("mine", "clip_tiny", False),
        ("named", "clip_tiny.web", True),
    ]:
        (tmp_path / name).mkdir()
        origin = import_words(hub(tmp_path / name), model, ["wave", "clap"]).provenance
        assert ("read as clip_tiny.web" in origin.notes) is is_known
        assert origin.trained_on == (("webli",) if is_known else ())
    with pytest.raises(InvalidCheckpoint, match="clip_tiny has no classes until they are named in words"):
        import_checkpoint(tmp_path / "mine" / "model.safetensors", "clip_tiny")
    with pytest.raises(
        InvalidSetting, match=r"import FOLDER --model clip_tiny\.web .* files of https://hugg"
    ):
        load_model("clip_tiny.web")


def test_what_is_missing_or_wrong_is_said(tmp_path):
    folder = hub(tmp_path)
    with pytest.raises(InvalidSetting, match="The classes of r3d_18 are learnt"):
        import_words(folder, "r3d_18", ["a"])
    with pytest.raises(InvalidSetting, match=r"has 4\d tokens; the model reads 40"):
        import_words(folder, "clip_tiny", ["z" * 40], prompts=["{}"])
    with pytest.raises(InvalidSetting, match="--classes"):
        import_files([folder], "clip_tiny")
    with pytest.raises(InvalidSetting, match="--prompt is for models"):
        import_files([folder], "r3d_18", prompts=["{}"])
    (folder / "config.json").write_text(json.dumps({"text_config": {"hidden_act": "relu"}}))
    with pytest.raises(InvalidCheckpoint, match="states the activation 'relu'"):
        import_words(folder, "clip_tiny", ["wave"])
    (folder / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": ["gelu"]}}))
    with pytest.raises(InvalidCheckpoint, match="states the activation"):
        import_words(folder, "clip_tiny", ["wave"])
    (folder / "config.json").write_text(json.dumps({"vision_config": {"num_attention_heads": 0}}))
    with pytest.raises(InvalidCheckpoint, match="attention heads; repair it"):
        import_words(folder, "clip_tiny", ["wave"])
    (folder / "config.json").write_text(json.dumps({"text_config": {"num_attention_heads": 3}}))
    with pytest.raises(InvalidCheckpoint, match="no whole encoder of texts"):
        import_words(folder, "clip_tiny", ["wave"])
    (folder / "config.json").unlink()
    (folder / "merges.txt").unlink()
    with pytest.raises(MissingWeights, match="no tokenizer beside the weights"):
        import_words(folder, "clip_tiny", ["wave"])
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InvalidCheckpoint, match="no readable tokenizer"):
        import_words(folder, "clip_tiny", ["wave"])
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"holds none of model\.safetensors"):
        import_words(folder, "clip_tiny", ["wave"])


@pytest.mark.parametrize(
    ("known", "row"),
    [
        (["</s>", "a"], [1, 0, 0, 0]),  # SigLIP
        (["<pad>", "<eos>", "a", "</s>"], [2, 1, 0, 0]),  # SigLIP 2, whose tokenizer is Gemma's
        (["a", "<|endoftext|>"], [0, 1, 1, 1]),
    ],
)
def test_texts_end_and_are_filled_as_their_encoder_learnt_it(tmp_path, known, row):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    numbers = {token: i for i, token in enumerate(known)}
    model = tokenizers.models.WordLevel(numbers, unk_token="a")
    tokenizers.Tokenizer(model).save(str(tmp_path / "tokenizer.json"))
    assert read_tokenizer(tmp_path).ids(["a"], 4, fill=True).tolist() == [row]


GROWS = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 99}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "no readable tokenizer"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}}, "table of characters"),
        ({"normalizer": {"type": "Sequence", "normalizers": [GROWS] * 3}}, "times as long"),
        ({"post_processor": TEMPLATE}, "cannot cut the prompts"),
    ],
)
def test_a_tokenizer_that_brings_its_library_down_is_damaged(tmp_path, capfd, part, said):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    model = tokenizers.models.WordLevel({"a": 0, "</s>": 1}, unk_token="a")
    whole = json.loads(tokenizers.Tokenizer(model).to_str())
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole | part))
    with pytest.raises(InvalidCheckpoint, match=said):
        read_tokenizer(tmp_path).ids(["a"], 4, fill=True)
    assert "panicked" not in capfd.readouterr().err
