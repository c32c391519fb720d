"""Formats of annotation files, one module each; `registry.FORMATS` finds them by itself."""
