"""Spatio-temporal action detection: what each person in a box does, from the feature maps of a 3D network."""
