"""The pure core: what a schedule, a run and a job are, and what happens next. No I/O, no clock, no boto3."""
