"""Maps between names of tensors in public checkpoints and ours, one module per layout."""
