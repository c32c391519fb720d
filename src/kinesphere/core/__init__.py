"""What every other room stands on: errors, labels, registries, devices."""
