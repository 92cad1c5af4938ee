"""Boards of runs in the memory of a function: what its last turn knew, as long as nobody else has driven the run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from universal_scheduler.domain.runs.board import Board
from universal_scheduler.domain.runs.model import ChangeLog, RunKey
from universal_scheduler.ports.store import Store

BOARDS_KEPT = 2
"""A board of 10,000 jobs takes some 30 MB; a function that drives many runs at once reads them anew."""


@dataclass(frozen=True, slots=True)
class _Kept:
    board: Board
    generation: int
    turn: int
    """The turn that the next one is, if nobody else makes one meanwhile."""
    epoch: int
    place: int
    """How far the change log was read."""
    doubtful: frozenset[str]
    """Jobs whose rows were not as the board has them."""


class Boards:
    """Keeps the boards of the runs that were driven last.

    A board is used by the very next turn of its run only, in the same generation. What others have changed since then
    is in the run's change log. A change that is missing there, because somebody died before it was counted, is found by
    the next turn of the poller, after which all jobs are read anew.
    """

    def __init__(self, most: int = BOARDS_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[RunKey, _Kept] = OrderedDict()

    def take(self, store: Store, key: RunKey, generation: int, turn: int, log: ChangeLog) -> Board:
        """The board of the run as its rows are now. It is not kept any more: a turn that fails leaves none."""
        kept = self._kept.pop(key, None)
        if kept is not None and (kept.generation, kept.turn) == (generation, turn):
            changed = log.since(kept.epoch, kept.place)
            if changed is not None:
                names = list(dict.fromkeys([*changed, *kept.doubtful]))
                kept.board.update(store.get_jobs(key.run_id, names) if names else ())
                return kept.board
        return Board(store.list_jobs(key.run_id))

    def again(self, key: RunKey, turn: int) -> None:
        """The turn of this number goes on: the board that it has left is its own."""
        if key in self._kept:
            self._kept[key] = replace(self._kept[key], turn=turn)

    def keep(
        self, board: Board, key: RunKey, generation: int, turn: int, log: ChangeLog, doubtful: Iterable[str]
    ) -> None:
        """Keep a board for the turn of this number; it knows what the log has."""
        self._kept[key] = _Kept(board, generation, turn, log.epoch, len(log.names), frozenset(doubtful))
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
