"""The command line: one file per verb; heavy imports happen inside the verbs."""
