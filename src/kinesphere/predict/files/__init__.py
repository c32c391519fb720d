"""Files that a timeline is written to, one module a kind of file."""
