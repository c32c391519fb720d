"""Readers and writers of annotation files, one module per format."""
