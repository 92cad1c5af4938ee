"""How a run waits, over DynamoDB: one row beside those of its jobs."""

from __future__ import annotations

from universal_scheduler.adapters.dynamodb.items import from_item, to_item
from universal_scheduler.adapters.dynamodb.tables import Tables
from universal_scheduler.domain.runs.model import Changes


class DynamoWaits(Tables):
    """`ports.waits` over DynamoDB."""

    def changes(self, run_id: str) -> Changes:
        row = self._get(self._jobs, _wait_key(run_id)) or {}
        return Changes(row.get("changeSeq", 0), row.get("endCount", 0))

    def count_change(self, run_id: str, ended: int, urgent: bool) -> str:
        answer = self._client.update_item(
            TableName=self._jobs,
            Key=to_item(_wait_key(run_id)),
            UpdateExpression="ADD changeSeq :urgent, endCount :ended",
            ExpressionAttributeValues=to_item({":urgent": int(urgent), ":ended": ended}),
            ReturnValues="ALL_NEW",
        )
        row = from_item(answer["Attributes"])
        return str(row.get("waitToken", "")) if urgent or row["endCount"] >= row.get("waitUntil", 0) else ""

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
