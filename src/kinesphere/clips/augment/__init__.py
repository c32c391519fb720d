"""Augmentation: what training changes of a clip, decided once per sample."""
