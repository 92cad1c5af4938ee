"""The history of an execution that has ended reads as it did before."""

from __future__ import annotations

from universal_scheduler.local.gaps.histories import Histories
from universal_scheduler.local.state import State

EVENTS = [{"id": number, "type": "Test", "details": {"input": "{}"}} for number in range(1, 6)]


def test_a_history_that_was_put_away_reads_as_before() -> None:
    histories = Histories(State())
    other, history = histories.keep(EVENTS[:2]), histories.keep(EVENTS)
    assert list(history) == EVENTS
    assert history[-1] == EVENTS[-1]
    assert history[1:3] == EVENTS[1:3]
    assert list(reversed(history)) == EVENTS[::-1]
    assert list(other) == EVENTS[:2]


def test_an_event_that_comes_after_the_end_is_the_last() -> None:
    history = Histories(State()).keep(EVENTS[:4])
    history.append(EVENTS[4])
    assert (len(history), list(history)) == (5, EVENTS)
