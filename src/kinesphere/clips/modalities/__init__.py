"""The kinds of data that a clip can hold; each is whole in its own module or folder."""
