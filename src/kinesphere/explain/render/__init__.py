"""Explanations to look at: heat over frames and skeletons, sheets, curves and videos."""
