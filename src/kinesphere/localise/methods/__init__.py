"""The ways to find actions in time, a module each: how a detector is made, trained, kept and asked."""
