"""The `usched` command."""

from universal_scheduler.cli.app import main

__all__ = ["main"]
