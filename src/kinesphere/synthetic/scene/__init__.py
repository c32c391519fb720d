"""Scenes of the mannequin: objects, textures, backgrounds."""
