"""Scores of files of results by the official protocols, without a model and without torch."""
