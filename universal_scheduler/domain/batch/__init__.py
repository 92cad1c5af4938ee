"""What AWS Batch takes: how a job is written as a request, what is refused, how fast jobs may be submitted."""
