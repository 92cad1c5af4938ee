"""Reads and checks schedule documents: one check for every door."""
