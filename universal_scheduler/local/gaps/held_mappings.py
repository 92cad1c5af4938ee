"""Gap: a mapping hands over what waits as soon as it is made, when the template is not yet deployed.

Its function would look for tables that are not there. What a queue gives then comes back minutes later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from universal_scheduler.local.gaps import require_ministack


def apply() -> Callable[[], None]:
    """Let no mapping begin until what this answers is called."""
    require_ministack("mappings begin at once")
    from ministack.services import lambda_svc

    begun = threading.Event()
    mappings: Callable[[], Iterator[Any]] = lambda_svc._iter_all_esms
    lambda_svc._iter_all_esms = lambda: mappings() if begun.is_set() else iter(())

    def begin() -> None:
        begun.set()
        lambda_svc._esm_wake.set()

    return begin
