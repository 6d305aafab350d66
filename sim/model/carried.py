"""Messages in a packet, and how much of it they are."""

from __future__ import annotations

from typing import Any

from sim.machine import Message
from sim.protocols.http import batch_bytes


def messages_of(packet: Any) -> tuple[Message, ...]:
    """The messages that a packet carries."""
    return (packet.carried,) if packet.carried is not None else getattr(packet, "messages", ())


def carried_bytes(packet: Any, messages: tuple[Message, ...], n_bytes: int, wire: int) -> int:
    """Of `n_bytes` of a packet that takes `wire` those that are its messages."""
    return n_bytes if packet.carried is not None else batch_bytes(messages) * n_bytes // wire
