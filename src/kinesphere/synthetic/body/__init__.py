"""Bodies of the mannequin: shape, performers, capture, retargeting."""
