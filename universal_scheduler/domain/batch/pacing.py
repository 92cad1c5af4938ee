"""How fast jobs may be submitted. It is pure."""

from __future__ import annotations


def next_slot(last: float, now: float, rate: float) -> float:
    """When the next call may go, in epoch seconds: at `now`, or `1 / rate` seconds after the call at `last` if that is
    later.

    `rate` is in calls per second. Unused time is not made up for, so that no second has more than `rate` calls. Batch
    takes 50 SubmitJob calls a second from an account:
    https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
    """
    return max(now, last + 1 / rate)
