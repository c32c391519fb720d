"""Models: architectures, their cards, their weights, and the recognisers made of them."""

from kinesphere.clips.preparation import Preparation
from kinesphere.models.card import ModelCard, Paper, ReportedScore, WeightEntry
from kinesphere.models.checkpoint import save_model
from kinesphere.models.create import DEFAULT_MODEL, create_model, load_model
from kinesphere.models.family import Family
from kinesphere.models.provenance import Provenance
from kinesphere.models.recogniser import Recogniser
from kinesphere.models.registry import card, list_models
from kinesphere.models.weights.importing import import_backbone, import_checkpoint, import_state
from kinesphere.models.weights.joining import join, join_i3d
from kinesphere.models.weights.keymap import KeyMap
from kinesphere.models.weights.words import embed_query, import_words

__all__ = [
    "DEFAULT_MODEL",
    "Family",
    "KeyMap",
    "ModelCard",
    "Paper",
    "Preparation",
    "Provenance",
    "Recogniser",
    "ReportedScore",
    "WeightEntry",
    "card",
    "create_model",
    "embed_query",
    "import_backbone",
    "import_checkpoint",
    "import_state",
    "import_words",
    "join",
    "join_i3d",
    "list_models",
    "load_model",
    "save_model",
]
