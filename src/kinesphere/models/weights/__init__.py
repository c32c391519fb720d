"""Weights: where they come from, how they are named, and how they are read into a network."""
