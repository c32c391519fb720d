"""Key maps of plain vision transformers: blocks as Hugging Face and MMAction2 name them."""

from __future__ import annotations

from kinesphere.models.weights.keymap import Join, Rename, Rule

HUGGINGFACE_BLOCK = "encoder.layer.{i}"


def huggingface_block(model: str) -> tuple[Rule, ...]:
    """Everything in a block of Hugging Face's `model` but queries, keys and values."""
    theirs, ours = f"{model}.{HUGGINGFACE_BLOCK}", "blocks.{i}"
    return (
        Rename(f"{theirs}.layernorm_before.*", f"{ours}.norm1.*"),
        Rename(f"{theirs}.attention.output.dense.*", f"{ours}.attn.proj.*"),
        Rename(f"{theirs}.layernorm_after.*", f"{ours}.norm2.*"),
        Rename(f"{theirs}.intermediate.dense.*", f"{ours}.mlp.fc1.*"),
        Rename(f"{theirs}.output.dense.*", f"{ours}.mlp.fc2.*"),
    )


def joined(
    theirs: str, ours: str, names: tuple[str, ...], leaves: tuple[str, ...] = ("weight", "bias")
) -> tuple[Rule, ...]:
    """Separate layers `names` there (queries, keys, values), one product here."""
    return tuple(
        Join(tuple(f"{theirs}.{name}.{leaf}" for name in names), f"{ours}.{leaf}") for leaf in leaves
    )
