"""`python -m universal_scheduler.cli` is `usched`."""

from universal_scheduler.cli.app import main

if __name__ == "__main__":
    main(prog_name="usched")
