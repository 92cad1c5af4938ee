"""Measures what else a user could run on one machine, beside this scheduler: `python -m benchmarks.peers`."""
