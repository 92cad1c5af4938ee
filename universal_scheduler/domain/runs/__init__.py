"""A run: its data, what happens next in it, what operators may do to it. Each module is imported by its name."""
