"""The ports over memory, a module for each: for tests, and for running schedules without any AWS API."""
