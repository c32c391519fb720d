"""Optical flow: clips, files, estimation, drawing."""

from kinesphere.clips.modalities.flow import reader

__all__ = ["reader"]
