"""`python -m kinesphere`: the command line."""

from kinesphere.apps.cli.main import run

if __name__ == "__main__":
    run()
