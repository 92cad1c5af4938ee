"""Tells systemd how its service is doing.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_VARIABLE = "NOTIFY_SOCKET"


def send(*news: str) -> None:
    """Lines such as READY=1. Nothing happens where nobody listens."""
    address = os.environ.get(_VARIABLE)
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, suppress(OSError):
        channel.sendto("\n".join(news).encode(), f"\0{address[1:]}" if address.startswith("@") else address)
