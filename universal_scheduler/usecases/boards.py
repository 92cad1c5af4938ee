"""Keeps the boards of runs in the memory of a function, from one turn of a run to the next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from universal_scheduler.domain.runs.board import Board
from universal_scheduler.domain.runs.model import ChangeLog, RunKey
from universal_scheduler.ports.store import Store

BOARDS_KEPT = 2
"""A board of 10,000 jobs takes about 30 MB. A function that drives more runs at once reads their jobs again."""


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
    """The boards of the runs that were driven last.

    A board is only used by the very next turn of its run, in the same generation. The change log of the run has what
    others have changed since then. If somebody died before counting a change, the next turn of the poller finds the
    change, and after it all jobs are read again.
    """

    def __init__(self, most: int = BOARDS_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[RunKey, _Kept] = OrderedDict()

    def take(self, store: Store, key: RunKey, generation: int, turn: int, log: ChangeLog) -> Board:
        """The board of the run, as its rows are now. It is not kept any more, so that a turn that fails leaves none."""
        kept = self._kept.pop(key, None)
        if kept is not None and (kept.generation, kept.turn) == (generation, turn):
            changed = log.since(kept.epoch, kept.place)
            if changed is not None:
                names = list(dict.fromkeys([*changed, *kept.doubtful]))
                kept.board.update(store.get_jobs(key.run_id, names) if names else ())
                return kept.board
        return Board(store.list_jobs(key.run_id))

    def again(self, key: RunKey, turn: int) -> None:
        """Say that the turn with this number goes on and may use the board that it has left."""
        if key in self._kept:
            self._kept[key] = replace(self._kept[key], turn=turn)

    def keep(
        self, board: Board, key: RunKey, generation: int, turn: int, log: ChangeLog, doubtful: Iterable[str]
    ) -> None:
        """Keep a board for the turn with this number. The board knows everything in the change log."""
        self._kept[key] = _Kept(board, generation, turn, log.epoch, len(log.names), frozenset(doubtful))
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
