"""Named points at which a test has a process die as by `kill -9`, so that a crash is tried at each of them in turn."""

import os
import signal
from collections.abc import Callable

Chaos = Callable[[str], None]


def no_chaos(_point: str) -> None:
    """What runs outside of such a test."""


def die_at(chosen: str) -> Chaos:
    """A function that kills this process when it is called with the chosen point; with none chosen, `no_chaos`."""

    def strike(point: str) -> None:
        if point == chosen:
            os.kill(os.getpid(), signal.SIGKILL)

    return strike if chosen else no_chaos
