"""The `kinesphere` command: verbs, exit codes, and how errors reach a person."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kinesphere import __version__
from kinesphere.apps.cli.bench import bench
from kinesphere.apps.cli.check import check
from kinesphere.apps.cli.compare import compare
from kinesphere.apps.cli.console import prepare_streams, print_error
from kinesphere.apps.cli.data import data
from kinesphere.apps.cli.datasets import ListingCommand, datasets
from kinesphere.apps.cli.demo import demo
from kinesphere.apps.cli.doctor import doctor
from kinesphere.apps.cli.evaluate import evaluate
from kinesphere.apps.cli.events import events
from kinesphere.apps.cli.explain import explain
from kinesphere.apps.cli.extract import extract
from kinesphere.apps.cli.fuse import fuse
from kinesphere.apps.cli.generate import generate
from kinesphere.apps.cli.import_ import import_
from kinesphere.apps.cli.import_skeletons import import_skeletons
from kinesphere.apps.cli.live import live
from kinesphere.apps.cli.models import models
from kinesphere.apps.cli.predict import predict
from kinesphere.apps.cli.render import render
from kinesphere.apps.cli.runs import runs
from kinesphere.apps.cli.score import score
from kinesphere.apps.cli.search import search
from kinesphere.apps.cli.study import study
from kinesphere.apps.cli.train import SettingsCommand, train
from kinesphere.core.errors import InvalidSetting, KinesphereError
from kinesphere.core.files import OF_THE_DISK, unwritable
from kinesphere.core.loading import end_loading
from kinesphere.core.signals import exiting, stopped_by
from kinesphere.core.text import visible

_WrongUsage: type[Exception] = typer.BadParameter.__mro__[1]
_OF_PYDANTIC = "Value error, "
"""What stands before some messages of values that are none of the known ones."""


class Verbs(TyperGroup):
    """The verbs; what is said of wrong words, such as a file name that a shell put there, is plain text."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except _WrongUsage as error:
            said = error.message.removeprefix(_OF_PYDANTIC)  # type: ignore[attr-defined]
            error.message = visible(said, line=True)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    name="kinesphere",
    cls=Verbs,
    help="Human action recognition in video: labelled videos in, a recogniser you can trust out.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help starts in half the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("demo", demo),
    ("doctor", doctor),
    ("check", check),
    ("models", models),
    ("bench", bench),
    ("datasets", datasets),
    ("train", train),
    ("runs", runs),
    ("compare", compare),
    ("evaluate", evaluate),
    ("predict", predict),
    ("live", live),
    ("search", search),
    ("events", events),
    ("explain", explain),
    ("fuse", fuse),
    ("import", import_),
    ("import-skeletons", import_skeletons),
    ("render", render),
    ("generate", generate),
)
LOADED = {
    "demo": "kinesphere.train",
    "doctor": "torch",
    "check": "kinesphere.train.resolve",
    "models": "kinesphere.models",
    "bench": "kinesphere.predict.speed",
    "datasets": "kinesphere.data.catalogue",
    "train": "kinesphere.train",
    "runs": "kinesphere.train.recipe",
    "compare": "kinesphere.studies.disagreement",
    "evaluate": "kinesphere.train.fold_evaluation",
    "predict": "kinesphere.predict.bulk",
    "live": "kinesphere.live",
    "search": "kinesphere.predict.search",
    "events": "kinesphere.predict.events",
    "explain": "kinesphere.explain.folder",
    "fuse": "kinesphere.train",
    "import": "kinesphere.models.weights.from_files",
    "import-skeletons": "kinesphere.annotations.formats.registry",
    "render": "kinesphere.synthetic.mocap",
    "generate": "kinesphere.synthetic",
    "data": "kinesphere.annotations.timed_files",
    "extract": "kinesphere.annotations.extract",
    "study": "kinesphere.studies.background",
    "score": "kinesphere.evaluate.metrics",
}
"""What each verb needs whatever it is asked; loaded once its options are known to be right."""
_OF_THE_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM)
_CLASSES = {"train": SettingsCommand, "import-skeletons": ListingCommand, "render": ListingCommand}


def loading(verb: Callable[..., None], package: str) -> Callable[..., None]:
    """The verb, entered when its package is loaded."""

    @wraps(verb)
    def entered(*args: object, **options: object) -> None:
        importlib.import_module(package)
        end_loading()
        verb(*args, **options)

    return entered


for _name, _verb in VERBS:
    app.command(_name, cls=_CLASSES.get(_name))(loading(_verb, LOADED[_name]))
for _name, _group in (("data", data), ("extract", extract), ("study", study), ("score", score)):
    app.add_typer(_group, name=_name)
    for _command in _group.registered_commands:
        if _command.callback is not None:
            _command.callback = loading(_command.callback, LOADED[_name])


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kinesphere {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the verb."""


def run() -> None:
    """Exit codes: 0 done, 1 done with failures listed, 2 wrong usage or input, 130 Ctrl-C, 143 SIGTERM."""
    with exiting():
        try:
            prepare_streams()
            app()
        except KinesphereError as error:
            if stopped_by() is not None:
                raise
            print_error(error)
            sys.exit(2)
        except OSError as error:
            if stopped_by() is not None:
                raise
            wrong: KinesphereError
            if error.errno in _OF_THE_PATH and error.filename is not None:
                wrong = InvalidSetting(f"{error.filename} cannot be used: {error.strerror}; check the path.")
            elif error.errno in OF_THE_DISK:  # may refuse what a library writes, or the output itself
                wrong = unwritable(Path(error.filename or "The output"), error)
            else:
                raise
            print_error(wrong)
            sys.exit(2)
