"""Poses: clips, files, alignment, drawing."""

from kinesphere.clips.modalities.pose import reader

__all__ = ["reader"]
