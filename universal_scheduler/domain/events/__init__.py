"""What AWS reports of jobs and executions, read from its events as data."""
