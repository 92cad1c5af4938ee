"""The store over DynamoDB: its parts in one, over three tables."""

from __future__ import annotations

from universal_scheduler.adapters.dynamodb.operators import DynamoOperators
from universal_scheduler.adapters.dynamodb.runs import DynamoRuns
from universal_scheduler.adapters.dynamodb.schedules import DynamoSchedules
from universal_scheduler.adapters.dynamodb.waits import DynamoWaits


class DynamoStore(DynamoSchedules, DynamoRuns, DynamoWaits, DynamoOperators):
    """`ports.store` over a boto3 DynamoDB client. Operators change jobs, so `DynamoOperators` brings `DynamoJobs`."""
