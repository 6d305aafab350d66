"""The application's payload on the wire: a header that says which message it is, then filler up to the message's size.

magic 2, kind 1, id 8, reply_to 8, reply_bytes 4, created 8: 31 bytes, big-endian. The model's messages are at least 32 bytes.
"""

from __future__ import annotations

import struct

from sim.machine import Message
from sim.record.causes import KINDS

_HEADER = struct.Struct(">2sBqqid")
_MAGIC = b"HL"


def encode_message(message: Message) -> bytes:
    """The payload of a message, of exactly its size (a message smaller than the header is as long as the header)."""
    if message.body is not None:
        return bytes(message.body)
    kind = KINDS.index(message.kind)
    header = _HEADER.pack(_MAGIC, kind, message.id, message.reply_to, message.reply_bytes, message.created_s)
    return header.ljust(message.size_bytes, b"\0")


def decode_message(topic: str, payload: bytes, qos: int, now: float, *, uplink: bool) -> Message:
    """The message that a payload carries; a foreign payload becomes a message of kind `other` with its bytes as body."""
    if len(payload) >= _HEADER.size and payload[:2] == _MAGIC:
        _magic, kind, message_id, reply_to, reply_bytes, created_s = _HEADER.unpack_from(payload)
        if kind < len(KINDS):
            return Message(
                message_id,
                KINDS[kind],
                topic,
                len(payload),
                qos,
                created_s,
                uplink=uplink,
                reply_to=reply_to,
                reply_bytes=reply_bytes,
            )
    return Message(0, "other", topic, len(payload), qos, now, uplink=uplink, body=payload)
