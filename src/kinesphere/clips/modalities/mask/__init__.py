"""Masks of people: clips and files."""

from kinesphere.clips.modalities.mask import reader

__all__ = ["reader"]
