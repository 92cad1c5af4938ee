"""The reference design's loop as a small baseline: document in the payload, one DescribeJobs a job, a fixed wait."""
