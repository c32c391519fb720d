"""Thin user interfaces: the command line and the HTML report."""
