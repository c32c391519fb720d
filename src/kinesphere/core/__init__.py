"""What every other package builds on: errors, labels, registries, devices."""
