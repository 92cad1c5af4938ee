"""The store over DynamoDB: all its parts in one, over four tables."""

from __future__ import annotations

from universal_scheduler.adapters.dynamodb.activities import DynamoActivities
from universal_scheduler.adapters.dynamodb.calendars import DynamoCalendars
from universal_scheduler.adapters.dynamodb.listeners import DynamoListeners
from universal_scheduler.adapters.dynamodb.operators import DynamoOperators
from universal_scheduler.adapters.dynamodb.runs import DynamoRuns
from universal_scheduler.adapters.dynamodb.schedules import DynamoSchedules
from universal_scheduler.adapters.dynamodb.upstream_runs import DynamoUpstreamRuns
from universal_scheduler.adapters.dynamodb.waits import DynamoWaits


class DynamoStore(
    DynamoSchedules,
    DynamoUpstreamRuns,
    DynamoListeners,
    DynamoRuns,
    DynamoWaits,
    DynamoOperators,
    DynamoActivities,
    DynamoCalendars,
):
    """`ports.store.Store` over a boto3 client of DynamoDB. `DynamoOperators` is a `DynamoJobs`, because operators
    change jobs."""
