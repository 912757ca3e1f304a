"""Death of a task process at an exact place in somebody else's code, once."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType


def order_kill(order: Path, *, function: str, event: str) -> None:
    """
    Let the next task process that gets there die.

    :param order: The file that :func:`arm` reads.
    :param function: Qualified name.
    :param event: ``call`` or ``return``.
    """
    order.parent.mkdir(exist_ok=True)
    order.write_text(json.dumps({"function": function, "event": event}))


def arm(order: Path) -> None:
    """Watch this process where there is an order, and carry it out."""
    if not order.exists():
        return
    wanted = json.loads(order.read_text())

    def strike(frame: FrameType, event: str, _: object) -> None:
        if event == wanted["event"] and frame.f_code.co_qualname == wanted["function"]:
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(strike)
