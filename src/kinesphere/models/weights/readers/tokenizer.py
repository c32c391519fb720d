"""Tokenizers of the Hugging Face hub, read and run by the `tokenizers` library."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kinesphere.core.errors import (
    InvalidCheckpoint,
    InvalidSetting,
    KinesphereError,
    MissingExtra,
    MissingWeights,
)
from kinesphere.core.limits import brief, file_size
from kinesphere.core.silence import native_silence
from kinesphere.core.structured import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WHOLE = "tokenizer.json"
VOCABULARY, MERGES = "vocab.json", "merges.txt"
_LARGEST = 64 << 20
_MOST_GROWTH = 10_000
"""How many times as long the parts of a tokenizer may make a text."""
_START, _CLIP_END = "<|startoftext|>", "<|endoftext|>"
# What ends a text, and what fills its row: of CLIP, of Gemma (whose "</s>" is HTML) and of SentencePiece.
_ENDS = {_CLIP_END: _CLIP_END, "<eos>": "<pad>", "</s>": "</s>"}
# What CLIP's own tokenizer splits a text into before it looks for pairs.
_CLIP_PARTS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True, eq=False)
class PromptTokens:
    """A tokenizer of prompts.

    Attributes:
        tokenizer: The library's.
        end: Number of the token that ends a text.
        filler: Number of the one that fills what is left of its row.
    """

    tokenizer: Tokenizer
    end: int
    filler: int

    def ids(self, prompts: Sequence[str], length: int, *, fill: bool) -> Tensor:
        """Numbers of tokens `(P, L)`; L is `length` with `fill`, and what the longest prompt needs without.

        Raises:
            InvalidSetting: If a prompt has more tokens than `length`.
            InvalidCheckpoint: If the tokenizer contradicts itself.
        """
        rows = []
        with _naming("The tokenizer is damaged: it cannot cut the prompts"):
            for prompt in prompts:  # one at a time: its tokens may be many
                row = self.tokenizer.encode(prompt).ids
                rows.append(row if row[-1:] == [self.end] else [*row, self.end])
                if len(rows[-1]) > length:
                    raise InvalidSetting(
                        f"The prompt {prompt[:60]!r} has {len(rows[-1])} tokens; the model reads {length}. "
                        "Shorten it."
                    )
        wide = length if fill else max(map(len, rows))
        return torch.tensor([[*row, *[self.filler] * (wide - len(row))] for row in rows])


def read_tokenizer(folder: Path) -> PromptTokens:
    """The tokenizer whose files lie in a folder of a repository's files.

    Raises:
        MissingExtra: If the library is not installed.
        MissingWeights: If there are no files of a tokenizer.
        InvalidCheckpoint: If they are damaged, or have no token that ends a text.
    """
    try:
        import tokenizers  # noqa: F401 (its presence is the question)
    except ImportError as error:
        raise MissingExtra(
            f"Prompts are cut into tokens by the library tokenizers, which is not usable here ({error}); "
            "pip install 'kinesphere[words]'."
        ) from error
    if (folder / WHOLE).is_file():
        tokenizer = _whole(folder / WHOLE)
    elif (folder / VOCABULARY).is_file() and (folder / MERGES).is_file():
        tokenizer = _clip(folder / VOCABULARY, folder / MERGES)
    else:
        raise MissingWeights(
            f"There is no tokenizer beside the weights: put the repository's {WHOLE}, or {VOCABULARY} and "
            f"{MERGES}, into {folder}."
        )
    for end, filler in _ENDS.items():
        end_id, filler_id = tokenizer.token_to_id(end), tokenizer.token_to_id(filler)
        if end_id is not None and filler_id is not None:
            return PromptTokens(tokenizer, end_id, filler_id)
    raise InvalidCheckpoint(
        f"The tokenizer in {folder} has no token that ends a text; known: {', '.join(_ENDS)}."
    )


@contextmanager
def _naming(problem: str) -> Iterator[None]:
    """Raise what goes wrong in the library as an `InvalidCheckpoint`, its panics and what it prints of them
    included; it has no class of its own for any of it."""
    try:
        with native_silence():
            yield
    except KinesphereError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InvalidCheckpoint(f"{problem}: {brief(str(error))}.") from error


def _whole(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if file_size(path, InvalidCheckpoint) > _LARGEST:
        raise InvalidCheckpoint(f"{path} is larger than {_LARGEST >> 20} MB: no tokenizer of prompts.")
    _check_bounded(read_json(path, InvalidCheckpoint, _LARGEST), path)
    with _naming(f"{path} is no readable tokenizer"):
        tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _check_bounded(content: Any, path: Path) -> None:
    """Refuse a tokenizer that would ask for memory which its file does not account for.

    Raises:
        InvalidCheckpoint: If a table of characters claims more than it has, or texts would grow too much.
    """
    parts = [content.get("normalizer"), content.get("pre_tokenizer")] if isinstance(content, dict) else []
    growth = 1
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        if not isinstance(part, dict):
            continue
        parts += part.values()
        table = part.get("precompiled_charsmap")
        with suppress(ValueError):  # the library says what is wrong
            data = base64.b64decode(table) if isinstance(table, str) else bytes(4)
            if int.from_bytes(data[:4], "little") > len(data):
                raise InvalidCheckpoint(f"{path} holds a damaged table of characters; get it again.")
        for added in (part.get("content"), part.get("prepend")):
            growth *= 1 + len(added) if isinstance(added, str) else 1
    if growth > _MOST_GROWTH:
        raise InvalidCheckpoint(
            f"{path} would make texts up to {brief(growth)} times as long, as no tokenizer of prompts does."
        )


def _clip(vocabulary: Path, merges: Path) -> Tokenizer:
    """CLIP's, of the two files that older repositories have alone."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    numbers = read_json(vocabulary, InvalidCheckpoint, _LARGEST)
    if not isinstance(numbers, dict) or not {_START, _CLIP_END} <= numbers.keys():
        raise InvalidCheckpoint(f"{vocabulary} is no vocabulary of CLIP: it lacks {_START} or {_CLIP_END}.")
    if file_size(merges, InvalidCheckpoint) > _LARGEST:
        raise InvalidCheckpoint(f"{merges} is larger than {_LARGEST >> 20} MB: no list of pairs.")
    with _naming(f"{vocabulary} and {merges} are no readable tokenizer"):
        lines = merges.read_text(encoding="utf-8").splitlines()
        pairs = [
            (a, b) for a, b in (line.split() for line in lines if line and not line.startswith("#version"))
        ]
        model = models.BPE(
            vocab=numbers, merges=pairs, end_of_word_suffix="</w>", unk_token=_CLIP_END,
            continuing_subword_prefix="", fuse_unk=False,
        )  # fmt: skip
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_CLIP_PARTS), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])  # fmt: skip
    tokenizer.post_processor = processors.RobertaProcessing(
        (_CLIP_END, numbers[_CLIP_END]), (_START, numbers[_START]), add_prefix_space=False, trim_offsets=False
    )
    return tokenizer
