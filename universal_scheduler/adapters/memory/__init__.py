"""The ports over memory, one module for each port: for tests, and for runs without any AWS API."""
