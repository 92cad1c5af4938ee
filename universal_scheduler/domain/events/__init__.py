"""Reads the events of AWS about jobs and executions."""
