"""A user at work while a test looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_background(step: Callable[[], None]) -> Iterator[None]:
    """One step after another."""
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            step()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
