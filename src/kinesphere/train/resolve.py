"""From a recipe to what a run needs: every `auto` decided, the data split."""

from __future__ import annotations

import glob
import inspect
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from kinesphere.clips.augment.settings import check_flip, check_views
from kinesphere.clips.modalities.pose.file import open_poses
from kinesphere.clips.sidecar import Extracts
from kinesphere.clips.spec import Views
from kinesphere.core.errors import InvalidAnnotation, InvalidSetting
from kinesphere.core.labels import LabelSet, normal
from kinesphere.core.paths import is_folder, real_path
from kinesphere.core.threads import UsableThreads
from kinesphere.data.cache.frames import FrameCache
from kinesphere.data.manifest import Manifest
from kinesphere.data.preflight_files import is_pose_file
from kinesphere.data.spelling import Spelling
from kinesphere.data.timed_recordings import Cutting, cut_recordings, is_timed
from kinesphere.data.windows import LABEL_COLUMN, WindowRule
from kinesphere.models.create import DEFAULT_MODEL, DEFAULT_POSE_MODEL
from kinesphere.models.registry import MODELS
from kinesphere.models.weights.starting import check_name, is_file, model_of, named_weights
from kinesphere.train.config import DataSection, ModelSection, TrainSection
from kinesphere.train.inputs import clip_specs
from kinesphere.train.joint import check_joint, divide_sets, joined
from kinesphere.train.recipe import Recipe
from kinesphere.train.splits import Parts, divide
from kinesphere.train.unlabelled import check_unlabelled, set_apart

log = logging.getLogger("kinesphere.train")

DEFAULT_EPOCHS = 30
DEFAULT_EMA = 0.999
"""Decay of the averaged weights where unlabelled clips are learnt from."""


def read_samples(recipe: Recipe) -> Manifest:
    """All samples of a recipe, of one data set or of those of a joint training (see `joint.joined`).

    Raises:
        InvalidManifest, InvalidAnnotation, LabelMismatch: As `read_data`.
        InvalidSetting: If samples of a joint training carry several labels.
    """
    sets = recipe.joint.sets
    if not sets:
        return read_data(recipe.data)
    return joined({name: read_data(section.within(recipe.data)) for name, section in sets.items()})


def read_data(data: DataSection) -> Manifest:
    """All samples of one data set.

    Raises:
        InvalidManifest: If a source cannot be read or contradicts itself.
        InvalidAnnotation: If timed labels cannot be read, or have several tiers and none is named.
        LabelMismatch: If a mirror pair or a parent names a label that does not occur, or `labels` are not
            those that do.
    """
    manifests = [_read(data, source) for source in data.source]
    manifest = manifests[0] if len(manifests) == 1 else _joined(manifests)
    if data.labels:
        manifest = replace(manifest, labels=_in_order(manifest.labels, data.labels))
    if data.mirror:
        manifest = replace(manifest, labels=replace(manifest.labels, mirror=data.mirror))
    parents = tuple(data.parents.items()) or _parents_of(manifest)
    labels = replace(manifest.labels, parents=parents, graded=data.ordered)
    return manifest if labels == manifest.labels else replace(manifest, labels=labels)


def _read(data: DataSection, source: str) -> Manifest:
    """The samples of one source; recordings with timed labels are cut into windows."""
    if data.tier is None and data.window is None and not is_timed(source):
        listed = Manifest.read(
            source,
            label_column=data.label_column,
            group_column=data.group_column,
            split_column=data.split_column,
            unlabelled=data.unlabelled,
            wrong_rows=data.wrong_rows,
        )
        return listed if data.fps is None else listed.with_fps(data.fps)
    rule = WindowRule() if data.window is None else data.window.rule()
    videos = None if data.videos is None else Path(data.videos)
    cutting = Cutting(rule, {LABEL_COLUMN: data.tier}, Spelling(known=data.labels), videos)
    cut = cut_recordings([source], cutting, wrong_rows=data.wrong_rows)
    for sentence in cut.counted():
        log.info("%s: %s.", source, sentence)
    for note in cut.notes:
        log.warning("%s.", note)
    return cut.manifest


def _parents_of(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """Classes and their parents, by the manifest's column `parent`, in the order of the classes.

    Where a class has several, the column is about something else than the classes, which is told.
    """
    found: dict[str, str] = {}
    for sample in manifest:
        parent = normal(dict(sample.extra).get("parent", ""))
        if not parent or len(sample.labels) != 1 or parent == sample.labels[0]:
            continue
        known = found.setdefault(sample.labels[0], parent)
        if known != parent:
            log.info(
                "The column `parent` gives %r several parents, %r and %r, so it makes no families of "
                "classes; data.parents states some.", sample.labels[0], known, parent,
            )  # fmt: skip
            return ()
    return tuple((name, found[name]) for name in manifest.labels if name in found)


def resolve(recipe: Recipe, manifest: Manifest) -> tuple[Recipe, Parts]:
    """Decide every `auto` and split the data.

    Returns:
        The recipe that reproduces the run, and the parts.

    Raises:
        InvalidSetting: If the data do not fit the settings.
    """
    multi = manifest.labels.multi
    pretrains = recipe.pretrain.method is not None
    if len(manifest.labels) < 2 and not multi and not pretrains:
        raise InvalidSetting(
            f"All {len(manifest)} samples are of one class, {manifest.labels.names[0]!r}; a recogniser tells "
            "classes apart. Add clips of something else."
        )
    check_joint(recipe, manifest)
    _check_probe(recipe, manifest.labels)
    _check_rebalance(recipe, multi)
    check_unlabelled(recipe, multi)
    recipe = _for_long_tails(recipe)
    # Before anything is reported of the data, or written.
    model = _for_cosines(_model(recipe.model, manifest))
    if (joint := recipe.joint).sets:
        parts, data, joint = divide_sets(recipe, manifest)
    else:
        parts, data = divide(recipe, manifest)
    parts = set_apart(recipe, parts)
    check_flip(recipe.augment, parts.train.labels)
    check_views(Views.parse(recipe.test.views), manifest.labels)
    compute = recipe.compute.choose()
    train, loss = _training(recipe, multi), recipe.loss
    if train.early_stopping and parts.val is None:
        raise InvalidSetting(
            "Early stopping needs validation, but data.val is 0; give it a fraction or a split."
        )
    if loss.name == "auto":
        loss = loss.model_copy(update={"name": "bce" if multi else "cross_entropy"})
    resolved = recipe.model_copy(
        update={
            "data": data,
            "joint": joint,
            "model": model,
            "augment": recipe.augment.resolved(),
            "loss": loss,
            "train": train,
            "unlabelled": recipe.unlabelled.model_copy(
                update={"source": tuple(str(real_path(Path(each))) for each in recipe.unlabelled.source)}
            ),
            "compute": recipe.compute.model_copy(
                update={
                    "device": compute.device,
                    "precision": compute.precision,
                    "threads": _threads(recipe, model) if compute.device == "cpu" else recipe.compute.threads,
                }
            ),
            "out": str(real_path(Path(recipe.out or _free_folder(_name_of(recipe), model.name)))),
        }
    )
    return resolved, parts


def _training(recipe: Recipe, multi: bool) -> TrainSection:
    """The section of training with its length, its score and the decay of its average decided."""
    train = recipe.train
    if train.epochs is None and train.steps is None:
        train = train.model_copy(update={"epochs": DEFAULT_EPOCHS})
    if train.monitor == "auto":
        by_class = recipe.rebalance.method is not None
        single = "mean_class_accuracy" if by_class else "top1"
        train = train.model_copy(update={"monitor": "macro_f1" if multi else single})
    if recipe.unlabelled.method is not None and train.ema is None:
        train = train.model_copy(update={"ema": DEFAULT_EMA})
    return train


def _check_probe(recipe: Recipe, labels: LabelSet) -> None:
    """Refuse what probes do not do.

    Raises:
        InvalidSetting: If settings are given that only a training from pixels follows, or those of probes
            without a learning rate.
    """
    probe = recipe.probe
    if probe.weight_decay and not probe.lr:
        raise InvalidSetting("probe.weight_decay is tried with each probe.lr; give that as well.")
    if not probe.kinds:
        return
    if not probe.lr and probe.kinds != ("knn",):
        raise InvalidSetting(
            "Linear, attentive and pooled probes are trained: give probe.lr, one rate or several."
        )
    if recipe.model.head is not None and probe.kinds != ("linear",):
        raise InvalidSetting(
            "Attentive, pooled and k-NN probes stand in place of the head; leave model.head out."
        )
    if probe.stages and "pooled" not in probe.kinds:
        raise InvalidSetting("probe.stages is what pooled probes look at; add pooled to probe.kind.")
    check_views(Views.parse(probe.views), labels)
    if any(Views.parse(probe.views).flipped) and any(a != b for a, b in labels.mirror):
        raise InvalidSetting(
            f"Probes learn views {probe.views} under the clip's own label, and mirror images here have "
            "another one; give probe.views without mirror images."
        )
    if "linear" in probe.kinds and recipe.model.freeze is None:
        raise InvalidSetting(
            "Probes are trained on what frozen layers give: probe.lr needs model.freeze, the last stage "
            "that is frozen (`kinesphere models NAME` lists them), or `tail` for the last layer alone."
        )
    refused = {
        "train.ema": recipe.train.ema is not None,
        "train.early_stopping": recipe.train.early_stopping is not None,
        "compute.processes above 1": recipe.compute.processes > 1,
    }
    given = [name for name, is_given in refused.items() if is_given]
    if given:
        raise InvalidSetting(f"Probes take no {' and no '.join(given)}; leave it out.")


def _check_rebalance(recipe: Recipe, multi: bool) -> None:
    """Refuse what a change of a trained head does not do.

    Raises:
        InvalidSetting: If there is no trained head to change, or samples have several labels.
    """
    if recipe.rebalance.method is None:
        return
    if not recipe.model.pretrained or recipe.model.reset_head:
        raise InvalidSetting(
            "rebalance changes the head of a trained model: name its run in model.pretrained, and leave "
            "model.reset_head out."
        )
    if multi:
        raise InvalidSetting("rebalance needs one label per sample; these have several.")
    if recipe.probe.kinds:
        raise InvalidSetting("rebalance trains nothing, and probe.lr trains heads; leave one of them out.")


def _for_long_tails(recipe: Recipe) -> Recipe:
    """The recipe with what LDAM needs; making up for a long tail twice is refused or warned of.

    Raises:
        InvalidSetting: If clips are drawn balanced for a loss that knows the file's numbers of classes.
    """
    loss, model = recipe.loss, recipe.model
    by_file = loss.name in ("balanced_softmax", "logit_adjusted", "ldam")
    if by_file and recipe.data.balance != "none":
        raise InvalidSetting(
            f"loss.name={loss.name} makes up for the file's shares of classes, and "
            f"data.balance={recipe.data.balance} does so again; keep one of them."
        )
    if loss.name == "class_balanced" and recipe.data.balance != "none":
        log.warning(
            "loss.name=class_balanced weighs rare classes more, and data.balance=%s draws them more often as "
            "well.", recipe.data.balance,
        )  # fmt: skip
    if by_file and (recipe.augment.mixup or recipe.augment.cutmix):
        log.warning(
            "loss.name=%s counts on the file's shares of classes, which targets of mixed clips have only on "
            "average; leave augment.mixup and augment.cutmix out to be exact.", loss.name,
        )  # fmt: skip
    if loss.name != "ldam":
        if loss.defer is not None and loss.name != "class_balanced":
            raise InvalidSetting(
                f"loss.defer puts off the weights of classes, of which {loss.name} has none; use "
                "class_balanced or ldam, or leave it out."
            )
        return recipe
    return recipe.model_copy(
        update={
            "model": model.model_copy(update={"head": "normalised"}),
            "loss": loss.model_copy(update={"defer": 0.8 if loss.defer is None else loss.defer}),
        }
    )


def _for_cosines(model: ModelSection) -> ModelSection:
    """The section without dropout before a normalised head, unless it states some.

    A head of cosines sees the direction of features alone. Dropout with probability p turns it by about
    arccos(sqrt(1 - p)), 45 degrees at 0.5, whose cosine no training lifts and no margin takes into account;
    the networks of Cao et al. (2019) have none.
    """
    if model.head != "normalised" or "dropout" in model.arguments:
        return model
    builder = MODELS.get(model.name.partition(".")[0]).builder
    if "dropout" not in inspect.signature(builder).parameters:
        return model
    log.info(
        "A normalised head compares directions, which dropout before it would turn at random: "
        "model.arguments.dropout=0, unless you state another."
    )
    return model.model_copy(update={"arguments": {**model.arguments, "dropout": 0.0}})


def _threads(recipe: Recipe, model: ModelSection) -> int | Literal["auto"]:
    """How many threads compute a step: as the recipe says, else what suits the model's work in a batch."""
    if recipe.compute.threads != "auto":
        return recipe.compute.threads
    architecture = MODELS.get(model.name.partition(".")[0])
    try:
        own = architecture.specs(model.arguments)
        specs = clip_specs(architecture.card.name, own, recipe.clip) or own
    except InvalidSetting:  # of a model in a file, which may have other inputs; or told when it is built
        specs = architecture.card.inputs
    work = architecture.card.work(specs, recipe.train.batch_size)
    return UsableThreads.here().suiting(work, training=True, processes=recipe.compute.processes)


def _model(model: ModelSection, manifest: Manifest) -> ModelSection:
    """The section of the model with its name and the place of its weights decided.

    Raises:
        UnknownName: If there is no such model.
        InvalidSetting: If it has no such stage as is to be frozen, or takes no such argument.
    """
    if isinstance(model.pretrained, str) and not is_file(model.pretrained, model.name):
        name, tag = named_weights(model.pretrained, model.name)
        model = model.model_copy(update={"name": name, "pretrained": tag})
    if model.name == "auto" and isinstance(model.pretrained, str) and is_file(model.pretrained):
        model = model.model_copy(update={"name": model_of(model.pretrained)})
    elif model.name == "auto":
        name, arguments = default_model(manifest)
        model = model.model_copy(update={"name": name, "arguments": {**arguments, **model.arguments}})
    check_name(model.name, model.pretrained, model.freeze)
    MODELS.get(model.name.partition(".")[0]).typed(model.arguments)
    if isinstance(model.pretrained, str) and is_file(model.pretrained, model.name):
        model = model.model_copy(update={"pretrained": str(real_path(Path(model.pretrained)))})
    return model


def _in_order(found: LabelSet, stated: tuple[str, ...]) -> LabelSet:
    """The labels that occur, in the order that the recipe states."""
    wanted = LabelSet(stated, multi=found.multi, ordered=True)
    for name in stated:
        found.index(name, "In data.labels")
    for name in found:
        wanted.index(name, "In the data (data.labels must list every label that occurs)")
    return wanted


def default_model(manifest: Manifest) -> tuple[str, dict[str, Any]]:
    """The model for data for which none was named, and its arguments.

    The compact one for videos; where the first sample that can be read is a pose file, the light one for
    poses with that file's joints.
    """
    for sample in manifest:
        if not is_pose_file(sample.path):
            return DEFAULT_MODEL, {}
        try:
            poses = open_poses(sample.path)
        except InvalidAnnotation:
            continue  # counted and reported when it is read
        dimensions = 3 if poses.frame_size is None else 2
        return DEFAULT_POSE_MODEL, {"skeleton": poses.skeleton, "dimensions": dimensions}
    return DEFAULT_POSE_MODEL, {}


def frame_cache(data: DataSection) -> FrameCache | None:
    """The cache that a recipe asks for, if it does."""
    return None if data.cache is None else FrameCache(data.cache, int(data.cache_gb * 1e9))


def extracts(data: DataSection) -> Extracts:
    """Where the extracted files of a recipe's videos lie."""
    return Extracts(None if data.extracts is None else Path(data.extracts))


def _joined(manifests: list[Manifest]) -> Manifest:
    names = sorted({name for manifest in manifests for name in manifest.labels})
    multi = any(manifest.labels.multi for manifest in manifests)
    samples = [
        replace(sample, id=f"{number}/{sample.id}")
        for number, manifest in enumerate(manifests)
        for sample in manifest
    ]
    root = Path(os.path.commonpath([real_path(manifest.root) for manifest in manifests]))
    return Manifest(
        tuple(samples),
        LabelSet(tuple(names), multi=multi),
        root,
        tuple(each for manifest in manifests for each in manifest.unused),
        tuple(each for manifest in manifests for each in manifest.wrong),
        tuple(each for manifest in manifests for each in manifest.groupings),
        " and ".join(dict.fromkeys(manifest.unused_are for manifest in manifests)),
        " and ".join(dict.fromkeys(manifest.wrong_are for manifest in manifests)),
    )


def _name_of(recipe: Recipe) -> str:
    """What a run's folder is named by: the source of its data, or the names of several sets."""
    return "-".join(recipe.joint.sets) or recipe.data.source[0]


def _free_folder(source: str, model: str) -> Path:
    """runs/<data>-<model>, with the first free number behind it."""
    path = real_path(Path(source))
    is_pattern = glob.has_magic(str(path))
    while glob.has_magic(str(path)):  # recordings/*.eaf is named by its folder
        path = path.parent
    stem = Path("runs") / f"{path.name if is_pattern or is_folder(path) else path.stem}-{model}"
    number, folder = 1, stem
    while folder.exists():
        number += 1
        folder = stem.with_name(f"{stem.name}-{number}")
    return folder
