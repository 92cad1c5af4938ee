"""Measures the scheduler beside the reference design's loop and a plain Python loop: `python -m benchmarks`."""
