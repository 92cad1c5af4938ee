"""Lambda entry points, one file for each state, stream or route that calls it."""
