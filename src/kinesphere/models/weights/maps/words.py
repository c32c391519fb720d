"""Key maps of encoders of images and texts, as Hugging Face names them."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

from torch import Tensor

from kinesphere.models.weights.keymap import Arguments, Ignore, Join, KeyMap, Rename, Rule

CLASSES = "class_embeds"
"""Name for embeddings `(K, E)` of the classes' prompts, which no file holds, beside a file's tensors."""
LOOKS = "vision_model"
READS = "text_model"
READ = "the encoder of texts, by which classes are named when the file is imported"
SEES = "the encoder of frames"
COUNTS = "numbers of positions, which are counted"
PROJECTION = "text_projection"
HEAD = f"{READS}.head"


def attention(theirs: str, ours: str) -> tuple[Rule, ...]:
    """An attention whose queries, keys and values are separate there."""
    qkv = tuple(f"{theirs}.{name}_proj" for name in "qkv")
    return (
        *(Join(tuple(f"{each}.{leaf}" for each in qkv), f"{ours}.qkv.{leaf}") for leaf in ("weight", "bias")),
        Rename(f"{theirs}.out_proj.*", f"{ours}.proj.*"),
    )


def blocks(theirs: str, ours: str) -> tuple[Rule, ...]:
    """Transformer blocks."""
    return (
        *attention(f"{theirs}.self_attn", f"{ours}.attn"),
        Rename(f"{theirs}.layer_norm1.*", f"{ours}.norm1.*"),
        Rename(f"{theirs}.layer_norm2.*", f"{ours}.norm2.*"),
        Rename(f"{theirs}.mlp.*", f"{ours}.mlp.*"),
    )


def frames(*further: Rule) -> tuple[Rule, ...]:
    """All rules of a network of frames; `further` has those in which it differs from others."""
    embeddings = f"{LOOKS}.embeddings"
    return (
        Rename(f"{embeddings}.class_embedding", "embed.cls"),
        Rename(f"{embeddings}.patch_embedding.*", "embed.proj.*"),
        Rename(f"{embeddings}.position_embedding.weight", "embed.position"),
        *blocks(f"{LOOKS}.encoder.layers.{{i}}", "blocks.{i}"),
        Rename(f"{LOOKS}.post_layernorm.*", "norm.*"),
        Rename("visual_projection.*", "proj.*"),
        Rename("logit_scale", "temperature.log_scale"),
        Rename(CLASSES, "fc.weight"),
        *further,
        Ignore(f"{embeddings}.position_ids", COUNTS),
        Ignore(f"{READS}.*", READ),
        Ignore(f"{PROJECTION}.*", READ),
    )


def made_for(theirs: Mapping[str, Tensor], class_tokens: int) -> Arguments:
    """Side of the frames in pixels that a state's positions are made for."""
    patches = theirs.get(f"{LOOKS}.embeddings.patch_embedding.weight")
    position = theirs.get(f"{LOOKS}.embeddings.position_embedding.weight")
    if patches is None or position is None:
        return {}
    return {"size_px": isqrt(len(position) - class_tokens) * patches.shape[-1]}


def _sizes(projection: str, theirs: Mapping[str, Tensor]) -> Arguments:
    """Sizes of an encoder of texts; as many heads as have 64 channels each, as all public ones."""
    tokens = theirs[f"{READS}.embeddings.token_embedding.weight"]
    hidden = theirs[f"{READS}.encoder.layers.0.mlp.fc1.weight"]
    width = tokens.shape[1]
    return {
        "vocabulary": len(tokens),
        "length": len(theirs[f"{READS}.embeddings.position_embedding.weight"]),
        "width": width,
        "depth": sum(key.endswith(".mlp.fc1.weight") and key.startswith(READS) for key in theirs),
        "heads": max(1, width // 64),
        "embedding": len(theirs[f"{projection}.weight"]),
        "ratio": len(hidden) // width,
    }


def texts(projection: str) -> KeyMap:
    """The layout of a `TextTower` whose last layer is called `projection` there."""
    embeddings = f"{READS}.embeddings"
    return KeyMap(
        "huggingface",
        (
            Rename(f"{embeddings}.token_embedding.weight", "tokens.weight"),
            Rename(f"{embeddings}.position_embedding.weight", "position"),
            Ignore(f"{embeddings}.position_ids", COUNTS),
            *blocks(f"{READS}.encoder.layers.{{i}}", "blocks.{i}"),
            Rename(f"{READS}.final_layer_norm.*", "norm.*"),
            Rename(f"{projection}.*", "proj.*"),
            Ignore("*", SEES),
        ),
        infer=lambda theirs: _sizes(projection, theirs),
    )
