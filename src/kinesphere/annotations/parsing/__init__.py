"""What readers of several formats share: text with line numbers, numbered frames, protocols, people."""
