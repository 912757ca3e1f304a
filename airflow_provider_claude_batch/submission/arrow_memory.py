"""
Where Arrow takes its memory from while a submission is loaded.

Imports pyarrow inside functions only: this module is reached from a Dag file.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def frugal_memory() -> Iterator[None]:
    """Let Arrow take memory from the system: its own allocator keeps what other threads have freed."""
    import pyarrow as pa

    usual, system = pa.default_memory_pool(), pa.system_memory_pool()
    # Who used it before has let go of the rest only now.
    system.release_unused()
    pa.set_memory_pool(system)
    try:
        yield
    finally:
        pa.set_memory_pool(usual)
        system.release_unused()
