"""The rules of AWS Batch: the form of a request, what Batch refuses, and how fast jobs may be submitted."""
