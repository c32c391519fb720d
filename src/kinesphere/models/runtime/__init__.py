"""What is done with a network to run it: preparation for inference, measuring, streaming."""
