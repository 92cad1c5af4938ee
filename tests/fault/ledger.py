"""What the jobs of a crash test say themselves: each attempt writes a line when it begins and one when it ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "ledger"
SCRIPT = """
say() {
  echo "$1 $(date +%s.%N) $AWS_BATCH_JOB_ID $AWS_BATCH_JOB_ATTEMPT ${USCHED_SCHEDULE_ID:--} ${USCHED_START:--} \
${USCHED_JOB_NAME:--} $2" >> "$USCHED_DATA/ledger"
}
say began -
echo "this is $AWS_BATCH_JOB_ID, attempt $AWS_BATCH_JOB_ATTEMPT"
sleep "$1"
code=$2
if [ -e "$USCHED_DATA/mended/$USCHED_SCHEDULE_ID.$USCHED_JOB_NAME" ]; then code=0; fi
say ended "$code"
exit "$code"
"""
"""Arguments: how many seconds it takes, and its exit code. Somebody may mend the job; then it succeeds."""
RETRY = {
    "attempts": 10,
    "evaluateOnExit": [
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onExitCode": "137", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
        {"onExitCode": "*", "action": "EXIT"},
    ],
}
"""Again after the death of the machine or of the process, and after nothing else."""


def command(seconds: float, code: int) -> list[str]:
    return ["sh", "-c", SCRIPT, "job", f"{seconds:.2f}", str(code)]


def mend(data: Path, schedule_id: str, job: str) -> None:
    """From now on the job succeeds."""
    (data / "mended").mkdir(exist_ok=True)
    (data / "mended" / f"{schedule_id}.{job}").touch()


@dataclass
class Attempt:
    """One attempt of a job of Batch. `ended` is 0 where its process died before it had said so."""

    job_id: str
    number: int
    began: float
    ended: float = 0.0
    code: int | None = None


class Ledger:
    """All attempts, by the run and the name of their job; those of jobs of no run by their own id."""

    def __init__(self, data: Path) -> None:
        self.attempts: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
        self.twice: list[str] = []
        """Attempts that began twice."""
        for words in _lines(data / NAME):
            self._read(*words)

    def _read(
        self, what: str, at: str, job_id: str, number: str, schedule: str, start: str, job: str, code: str
    ) -> None:
        key = (f"{schedule}#{start}", job) if schedule != "-" else ("", job_id)
        known = self.attempts[key]
        found = next((each for each in known if (each.job_id, each.number) == (job_id, int(number))), None)
        if what == "began":
            if found is not None:
                self.twice.append(f"{job_id}, attempt {number}, of {key}")
            known.append(Attempt(job_id, int(number), float(at)))
        else:
            assert found is not None, f"{job_id} ended without a beginning"
            found.ended, found.code = float(at), int(code)

    def of(self, run_id: str, job: str) -> list[Attempt]:
        return self.attempts.get((run_id, job), [])


def _lines(path: Path) -> Iterator[Any]:
    if path.exists():
        for line in path.read_text().splitlines():
            yield line.split(" ")
