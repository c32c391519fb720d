"""Drawing the mannequin, with the ground truth of every frame."""
