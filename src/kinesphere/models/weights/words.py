"""Models whose classes are named in words: a hub's files and a list of names in, a recogniser out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from kinesphere.core.errors import InvalidCheckpoint, InvalidSetting, MissingWeights
from kinesphere.core.labels import LabelSet, normal
from kinesphere.core.limits import brief
from kinesphere.core.paths import is_file
from kinesphere.core.text import is_utf8, spelled
from kinesphere.models.layers.words import TextTower
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.registry import MODELS, building_at_most, list_models
from kinesphere.models.weights.importing import import_checkpoint
from kinesphere.models.weights.keymap import Arguments
from kinesphere.models.weights.maps.words import CLASSES
from kinesphere.models.weights.readers import read_foreign
from kinesphere.models.weights.readers.hub import towers_beside, weights_in
from kinesphere.models.weights.readers.tokenizer import PromptTokens, read_tokenizer
from kinesphere.models.words import GAP, Words, checked_prompts, ensemble

BATCH = 64
_LONGEST_REASON = 300


def import_words(
    path: str | Path,
    model: str,
    classes: LabelSet | Sequence[str],
    *,
    prompts: Sequence[str] | None = None,
    layout: str | None = None,
    arguments: Arguments | None = None,
) -> Recogniser:
    """A recogniser of classes that are named in words, from the files of a public encoder.

    The recogniser holds the embeddings of its classes: predicting needs neither the tokenizer nor the encoder
    of texts. For other classes the same files are imported again.

    Args:
        path: Weights, or the folder that they lie in; beside them the tokenizer (`tokenizer.json`, or
            `vocab.json` and `merges.txt`) and `config.json`, which tells what tensors do not.
        model: Registered name.
        classes: Their names.
        prompts: Sentences with `{}` for a class's name; those of the family by default. A class's embedding
            is the mean of the directions of its prompts'.
        layout: As of `import_checkpoint`.
        arguments: As of `import_checkpoint`.

    Raises:
        InvalidSetting: If the model's classes are not named in words, a prompt has no gap for the name or is
            too long.
        MissingExtra: If the library `tokenizers` is not installed.
        MissingWeights: If the weights or the tokenizer are not there.
        InvalidCheckpoint: As of `import_checkpoint`; also if there is no encoder of texts.
    """
    words = _need_words(model)
    labels = classes if isinstance(classes, LabelSet) else LabelSet(tuple(classes))
    sentences = checked_prompts(words.prompts if prompts is None else prompts)
    file = weights_in(Path(path))
    frames, texts = towers_beside(file)
    tower = read_tower(words, read_foreign(file).state, texts, file.name)
    embeddings = class_embeddings(words, tower, read_tokenizer(file.parent), labels, sentences)
    recogniser = import_checkpoint(
        file,
        model,
        layout=layout,
        labels=labels,
        arguments={**frames, **(arguments or {})},
        further={CLASSES: embeddings},
    )
    origin = recogniser.provenance
    named = f"classes named in words by: {' | '.join(sentences)}"
    recogniser.provenance = replace(origin, notes=(*origin.notes, named, recogniser.card.notes))
    return recogniser


def embed_query(recogniser: Recogniser, query: str, texts: str | Path | None = None) -> Tensor:
    """The embedding `(E,)` of a sentence, or of one of the model's own classes.

    Args:
        recogniser: A model whose classes are named in words.
        query: The sentence; without `texts` the name of a class.
        texts: The files that the model was imported from, with their tokenizer and encoder of texts.

    Raises:
        InvalidSetting: If the model's classes are learnt, or `query` is none of them without `texts`.
        InvalidCheckpoint: If the model was not imported from those files, or they are damaged.
        MissingExtra: As of `import_words`.
        MissingWeights: Likewise.
    """
    from kinesphere.core.download import digest

    words = _need_words(recogniser.card.name)
    if not normal(query) or not is_utf8(query):
        raise InvalidSetting(f"A search takes words, as text in UTF-8; got {spelled(query[:60])!r}.")
    if texts is None:
        names = recogniser.labels.names
        if normal(query) not in names:
            raise InvalidSetting(
                f"{query[:60]!r} is none of the model's classes ({brief(', '.join(names))}). For any other "
                "words give --words FOLDER, the files that it was imported from."
            )
        head = recogniser.net.get_submodule(recogniser.card.head[0])
        embeddings = next(head.parameters())
        return embeddings[names.index(normal(query))].detach()
    file = weights_in(Path(texts))
    if not is_file(file):
        raise MissingWeights(f"There is no file {file}; give the folder that the model was imported from.")
    if recogniser.provenance.sha256 != digest(file):
        raise InvalidCheckpoint(
            f"The model was not imported from {file}, or learnt more since: what it sees and the words of "
            "that file cannot be compared. Give the files that it was imported from."
        )
    tower = read_tower(words, read_foreign(file).state, towers_beside(file)[1], file.name)
    embedding_1E = class_embeddings(words, tower, read_tokenizer(file.parent), LabelSet((query,)), (GAP,))
    return embedding_1E[0]


def words_of(model: str) -> Words | None:
    """How a model's classes are named in words; None where they are learnt, or nobody knows the model."""
    stem = model.partition(".")[0]
    return MODELS.get(stem).words if stem in MODELS else None


def _need_words(model: str) -> Words:
    words = words_of(model)
    if words is None:
        known = ", ".join(name for name in list_models() if words_of(name))
        raise InvalidSetting(f"The classes of {model} are learnt. Those named in words are of {known}.")
    return words


def read_tower(words: Words, theirs: Mapping[str, Tensor], arguments: Arguments, name: str) -> TextTower:
    """The encoder of texts among the tensors of a file.

    Args:
        words: Of the family.
        theirs: The file's tensors.
        arguments: What its configuration states of the encoder.
        name: Name of the file, for messages.

    Raises:
        InvalidCheckpoint: If it is not there whole, or has another form.
    """
    mapped = words.key_map.to_ours(theirs)
    try:
        sizes = {**words.key_map.builder_arguments(theirs), **arguments}
        with torch.device("meta"), building_at_most(len(theirs), name):
            tower = words.tower(**sizes)
        tower.load_state_dict({key: tensor.float() for key, tensor in mapped.state.items()}, assign=True)
    except InvalidCheckpoint:
        raise
    except KeyError as error:
        raise InvalidCheckpoint(f"{name} holds no encoder of texts: it lacks {error}.") from error
    except Exception as error:  # sizes are read off tensors of any form
        raise InvalidCheckpoint(f"{name} holds no whole encoder of texts: {_in_short(error)}.") from error
    return tower.eval()


def _in_short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


@torch.inference_mode()
def class_embeddings(
    words: Words, tower: TextTower, tokens: PromptTokens, labels: LabelSet, prompts: Sequence[str]
) -> Tensor:
    """Embeddings `(K, E)` of classes, each of all prompts together.

    Raises:
        InvalidCheckpoint: If the tokenizer has tokens that the encoder does not know, or an embedding is not
            finite.
        InvalidSetting: If a prompt has more tokens than the encoder reads.
    """
    texts = [text for name in labels.names for text in words.of(name, prompts)]
    ids = tokens.ids(texts, tower.length, fill=not tower.causal)
    vocabulary = tower.tokens.num_embeddings
    if int(ids.max()) >= vocabulary:
        raise InvalidCheckpoint(
            f"The tokenizer gives token {int(ids.max())}, and the encoder of texts knows {vocabulary}: they "
            "are of different models. Take both from one repository."
        )
    embeddings = torch.cat([tower(part) for part in ids.split(BATCH)])
    if not embeddings.isfinite().all():
        raise InvalidCheckpoint("The encoder of texts gives no finite numbers; its file is damaged.")
    return ensemble(embeddings.unflatten(0, (len(labels), len(prompts)))).clone()
