"""Motions of the mannequin."""
