"""Experiments of several evaluations that answer one question, and one report of each."""
