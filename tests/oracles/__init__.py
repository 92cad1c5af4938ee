"""Random cases and slow, obvious answers to them: unit tests try a few of the cases, property tests try many."""
