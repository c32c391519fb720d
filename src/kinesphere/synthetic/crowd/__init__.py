"""Several people at once: scripts of who does what, their staging, their filming, and sets of that."""
