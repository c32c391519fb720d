"""Thin doors for people: the command line and the HTML report."""
