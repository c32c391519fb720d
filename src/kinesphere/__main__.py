"""The program `kinesphere`, also as `python -m kinesphere`."""

from kinesphere.core.loading import begin_loading
from kinesphere.core.signals import exiting
from kinesphere.core.threads import sleep_while_waiting


def start() -> None:
    """Run the command line; whatever moment a Ctrl-C falls into, it ends with a sentence."""
    with exiting():
        begin_loading()
        sleep_while_waiting()
        from kinesphere.apps.cli.main import run

        run()


if __name__ == "__main__":
    start()
