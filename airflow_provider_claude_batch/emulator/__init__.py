"""
An emulator of Anthropic's Message Batches API that the unmodified SDK talks to over a socket.

A reading of the API of its own: it shares no code with the rest of the package and imports nothing of it.
"""

from __future__ import annotations

from airflow_provider_claude_batch.emulator.client import Calls, EmulatorClient
from airflow_provider_claude_batch.emulator.handle import Emulator, EmulatorProcess

__all__ = ["Calls", "Emulator", "EmulatorClient", "EmulatorProcess"]
