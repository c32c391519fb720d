"""Speed and robustness beside what one would use instead; `python -m benchmarks` runs all."""
