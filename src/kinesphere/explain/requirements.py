"""What explanations need beside the core."""

from __future__ import annotations

from kinesphere.core.errors import MissingExtra


def require_captum(what: str) -> None:
    """Does nothing where Captum is installed.

    Args:
        what: The method that asks, for the message.

    Raises:
        MissingExtra: If it is not.
    """
    try:
        import captum.attr  # noqa: F401 (its presence is the question)
    except ImportError as error:
        raise MissingExtra(
            f"{what} is computed by Captum, which is not usable here ({error}); "
            "pip install 'kinesphere[explain]'."
        ) from error
