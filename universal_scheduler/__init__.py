"""A universal batch-job scheduler for AWS that costs nothing while it waits."""
