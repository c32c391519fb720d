"""Tokenizers of the Hugging Face hub, read and run by the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, MissingExtra, MissingWeights
from kinesphere.core.limits import file_size
from kinesphere.core.structured import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WHOLE = "tokenizer.json"
VOCABULARY, MERGES = "vocab.json", "merges.txt"
_LARGEST = 64 << 20
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
        """
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(list(prompts))]
        rows = [row if row[-1:] == [self.end] else [*row, self.end] for row in rows]
        for prompt, row in zip(prompts, rows, strict=True):
            if len(row) > length:
                raise InvalidSetting(
                    f"The prompt {prompt[:60]!r} has {len(row)} tokens; the model reads {length}. Shorten it."
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


def _whole(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if file_size(path, InvalidCheckpoint) > _LARGEST:
        raise InvalidCheckpoint(f"{path} is larger than {_LARGEST >> 20} MB: no tokenizer of prompts.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no class of its own
        raise InvalidCheckpoint(f"{path} is no readable tokenizer: {error}.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _clip(vocabulary: Path, merges: Path) -> Tokenizer:
    """CLIP's, of the two files that older repositories have alone."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    numbers = read_json(vocabulary, InvalidCheckpoint, _LARGEST)
    if not isinstance(numbers, dict) or not {_START, _CLIP_END} <= numbers.keys():
        raise InvalidCheckpoint(f"{vocabulary} is no vocabulary of CLIP: it lacks {_START} or {_CLIP_END}.")
    if file_size(merges, InvalidCheckpoint) > _LARGEST:
        raise InvalidCheckpoint(f"{merges} is larger than {_LARGEST >> 20} MB: no list of pairs.")
    try:
        lines = merges.read_text(encoding="utf-8").splitlines()
        pairs = [
            (a, b) for a, b in (line.split() for line in lines if line and not line.startswith("#version"))
        ]
        model = models.BPE(
            vocab=numbers, merges=pairs, end_of_word_suffix="</w>", unk_token=_CLIP_END,
            continuing_subword_prefix="", fuse_unk=False,
        )  # fmt: skip
    except Exception as error:  # as above
        raise InvalidCheckpoint(f"{vocabulary} and {merges} are no readable tokenizer: {error}.") from error
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
