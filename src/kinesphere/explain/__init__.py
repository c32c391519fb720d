"""Explanations: which pixels, frames and joints an answer rests on, and whether the map is true."""
