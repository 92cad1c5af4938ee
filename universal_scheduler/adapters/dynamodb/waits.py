"""The change counters and the parked token of a run over DynamoDB: one row beside the rows of its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from universal_scheduler.adapters.dynamodb.items import from_item, to_item
from universal_scheduler.adapters.dynamodb.tables import Tables
from universal_scheduler.domain.runs.model import ChangeLog, Changes
from universal_scheduler.ports.waits import CHANGE_LOG_LIMIT


class DynamoWaits(Tables):
    """`ports.waits.Waits` over DynamoDB."""

    def changes(self, run_id: str) -> Changes:
        return self.change_log(run_id).counts

    def change_log(self, run_id: str) -> ChangeLog:
        row = self._get(self._jobs, _wait_key(run_id)) or {}
        counts = Changes(row.get("changeSeq", 0), row.get("endCount", 0))
        return ChangeLog(counts, row.get("changeEpoch", 0), tuple(row.get("changedJobs", ())))

    def count_change(self, run_id: str, ended: int, urgent: bool, names: Sequence[str] = ()) -> str:
        add = "ADD changeSeq :urgent, endCount :ended"
        values: dict[str, Any] = {":urgent": int(urgent), ":ended": ended}
        if not names:
            row = self._counted(run_id, add, values)
        else:
            values |= {":names": list(names)}
            row = self._counted(
                run_id,
                f"{add} SET changedJobs = list_append(if_not_exists(changedJobs, :none), :names)",
                values | {":none": [], ":most": CHANGE_LOG_LIMIT},
                "attribute_not_exists(changedJobs) OR size(changedJobs) < :most",
            )
            if row is None:
                row = self._counted(run_id, f"{add}, changeEpoch :one SET changedJobs = :names", values | {":one": 1})
        assert row is not None
        return str(row.get("waitToken", "")) if urgent or row["endCount"] >= row.get("waitUntil", 0) else ""

    def _counted(
        self, run_id: str, expression: str, values: dict[str, Any], condition: str = ""
    ) -> dict[str, Any] | None:
        """The row after the update; None where the condition does not hold."""
        given: Any = {"ConditionExpression": condition} if condition else {}
        try:
            answer = self._client.update_item(
                TableName=self._jobs,
                Key=to_item(_wait_key(run_id)),
                UpdateExpression=expression,
                ExpressionAttributeValues=to_item(values),
                ReturnValues="ALL_NEW",
                **given,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return from_item(answer["Attributes"])

    def park(self, run_id: str, generation: int, token: str, seen: Changes, ends_needed: int, turn: int = 0) -> bool:
        return self._update(
            self._jobs,
            _wait_key(run_id),
            "SET waitToken = :token, waitUntil = :until, waitSeq = :seen, generation = :generation, parkedTurn = :turn",
            {
                ":token": token,
                ":until": seen.ended + ends_needed,
                ":generation": generation,
                ":turn": turn,
                ":seen": seen.urgent,
            },
            "(attribute_not_exists(generation) OR generation < :generation"
            " OR (generation = :generation AND (attribute_not_exists(parkedTurn) OR parkedTurn <= :turn)))"
            " AND (attribute_not_exists(changeSeq) OR changeSeq = :seen)"
            " AND (attribute_not_exists(endCount) OR endCount < :until)",
        )

    def clear_token(self, run_id: str, token: str = "") -> None:
        values = {":token": token} if token else {}
        condition = "waitToken = :token" if token else "attribute_exists(waitToken)"
        self._update(self._jobs, _wait_key(run_id), "REMOVE waitToken", values, condition)


def _wait_key(run_id: str) -> dict[str, str]:
    return {"runId": run_id, "jobName": "#wake"}
