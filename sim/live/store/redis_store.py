"""Registry and pending messages in Redis: a hash for each vehicle, its pending list, its messages. Alone knows redis-py.

    PREFIX:vehicle:VIN       hash        current_ip, last_heartbeat, status
    PREFIX:pending:VIN       sorted set  ids of messages by their creation, the oldest first
    PREFIX:message:VIN:ID    hash        kind, topic, size_bytes, qos, created_at, ...
    PREFIX:payload:VIN:ID    string      the bytes of its payload
    PREFIX:changes:VIN       number      of writes, by which one process sees those of another
    PREFIX:mark              string      by which it is seen that Redis has lost everything

Times in it are Unix times. What one call changes is written in one transaction. Every key ends by itself a day after the
last write of it. Every call is bounded, and raises nothing but StoreLost.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as TimedOut

from sim.live.payload import decode_message, encode_message
from sim.live.store.changes import Batch
from sim.machine import NEVER, Message
from sim.protocols.kept import Entry, Kept

WITHIN_S: Final = 2.0  # one call: shorter than a vehicle waits for an answer
_KEPT_S: Final = 86_400
_AT_ONCE: Final = 50  # messages read at once; each brings its payload


class StoreLost(Exception):
    """Redis cannot be reached, or does not do what it is asked. `reason` is one of StoreChanged's."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class RedisStore:
    """One prefix of keys in one database. `epoch_s` is the Unix time of the instant 0 of the machines."""

    def __init__(self, url: str, prefix: str, epoch_s: float, *, within_s: float = WITHIN_S) -> None:
        """`within_s` bounds each call."""
        self.prefix = prefix
        self._epoch_s = epoch_s
        self._within_s = within_s
        # once more at once, as the connection may have died unused; a write that is done twice does no harm
        self._redis = Redis.from_url(
            url, socket_connect_timeout=within_s, socket_timeout=within_s, retry=Retry(NoBackoff(), 1), max_connections=4
        )
        self._known: dict[str, dict[int, Message]] = {}  # by VIN: the messages that are there

    async def open(self) -> str:
        """The version of the server that answers."""
        found = await self._bounded(lambda: self._redis.info("server"))
        return str(found.get("redis_version", "of an unknown version"))

    async def look(self, vins: Iterable[str]) -> tuple[str, dict[str, int]]:
        """(mark, number of writes by VIN); the mark is "" where there is none."""
        names = list(vins)
        keys = [self._key("mark"), *(self._key("changes", vin) for vin in names)]
        mark, *counts = await self._bounded(lambda: self._redis.mget(keys))
        return _text(mark), {vin: _whole(count) for vin, count in zip(names, counts, strict=True)}

    async def mark(self) -> str:
        """Make a mark where there is none; returns the one that is there."""
        made = os.urandom(6).hex()
        await self._bounded(lambda: self._redis.set(self._key("mark"), made, nx=True, ex=_KEPT_S))
        return _text(await self._bounded(lambda: self._redis.get(self._key("mark"))))

    async def read(self, vin: str) -> tuple[Kept, int]:
        """What is there of a vehicle, and the number of writes. Messages that cannot be read are left out."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hgetall(self._key("vehicle", vin))
        pipe.zrange(self._key("pending", vin), 0, -1)
        pipe.get(self._key("changes", vin))
        fields, members, count = await self._bounded(pipe.execute)
        ids = [int(member) for member in members if member.isdigit()]
        before = self._known.get(vin, {})
        unknown = [message_id for message_id in ids if message_id not in before]
        found = {message_id: before[message_id] for message_id in ids if message_id in before}
        for start in range(0, len(unknown), _AT_ONCE):
            found |= await self._messages(vin, unknown[start : start + _AT_ONCE])
        self._known[vin] = found
        ordered = sorted(found.values(), key=lambda message: (message.created_s, message.id))
        return Kept(vin, self._entry(fields), tuple(ordered)), _whole(count)

    async def _messages(self, vin: str, ids: list[int]) -> dict[int, Message]:
        pipe = self._redis.pipeline(transaction=False)
        for message_id in ids:
            pipe.hgetall(self._key("message", vin, message_id))
            pipe.get(self._key("payload", vin, message_id))
        said = await self._bounded(pipe.execute)
        found = {}
        for index, message_id in enumerate(ids):
            message = self._message(message_id, said[2 * index], said[2 * index + 1])
            if message is not None:
                found[message_id] = message
        return found

    async def write(self, batches: Mapping[str, Batch]) -> dict[str, int]:
        """Write the changes of some vehicles in one transaction; returns the number of writes by VIN after it."""
        pipe = self._redis.pipeline(transaction=True)
        for vin in batches:
            pipe.incr(self._key("changes", vin))
        for vin, batch in batches.items():
            if batch.entry is not None:
                key = self._key("vehicle", vin)
                pipe.hset(key, mapping=self._entry_fields(batch.entry))
                pipe.expire(key, _KEPT_S)
            for message_id, message in batch.messages.items():
                self._write_message(pipe, vin, message_id, message)
            for kind in ("pending", "changes"):
                pipe.expire(self._key(kind, vin), _KEPT_S)
        pipe.expire(self._key("mark"), _KEPT_S)
        said = await self._bounded(pipe.execute)
        for vin, batch in batches.items():
            known = self._known.setdefault(vin, {})
            for message_id, message in batch.messages.items():
                if message is None:
                    known.pop(message_id, None)
                else:
                    known[message_id] = message
        return dict(zip(batches, said, strict=False))

    def _write_message(self, pipe: Any, vin: str, message_id: int, message: Message | None) -> None:
        pending, about = self._key("pending", vin), self._key("message", vin, message_id)
        payload = self._key("payload", vin, message_id)
        if message is None:
            pipe.zrem(pending, message_id)
            pipe.delete(about, payload)
            return
        pipe.zadd(pending, {str(message_id): message.created_s + self._epoch_s})
        pipe.hset(about, mapping=self._message_fields(message))
        pipe.set(payload, encode_message(message), ex=_KEPT_S)
        pipe.expire(about, _KEPT_S)

    async def forget(self) -> None:
        """Remove every key of this prefix, and no other."""
        keys = [key async for key in self._scan(re.sub(r"([\\*?\[\]])", r"\\\1", self.prefix) + ":*")]
        for start in range(0, len(keys), 500):
            batch = keys[start : start + 500]
            await self._bounded(partial(self._redis.unlink, *batch))

    async def _scan(self, pattern: str) -> AsyncIterator[bytes]:
        cursor = 0
        while True:
            cursor, keys = await self._bounded(partial(self._redis.scan, cursor, pattern, 1000))
            for key in keys:
                yield key
            if not cursor:
                return

    async def close(self) -> None:
        """Let go of the connections; nothing is raised."""
        with contextlib.suppress(Exception):  # whatever is wrong with them, they are not needed any more
            async with asyncio.timeout(self._within_s):
                await self._redis.aclose()

    # --- bounds -----------------------------------------------------------------------------------------------------------

    async def _bounded(self, call: Callable[[], Any]) -> Any:
        try:
            # redis-py bounds each read and each write; this one bounds them all together
            async with asyncio.timeout(self._within_s):
                return await call()
        except (OSError, RedisError, ValueError) as error:
            await self._hang_up()
            raise StoreLost(_reason(error), _line(error)) from None

    async def _hang_up(self) -> None:
        """An answer that is late must not be taken for that to the next question."""
        with contextlib.suppress(OSError, RedisError):
            async with asyncio.timeout(self._within_s):
                await self._redis.connection_pool.disconnect()

    # --- fields -----------------------------------------------------------------------------------------------------------

    def _key(self, kind: str, *names: str | int) -> str:
        return ":".join((self.prefix, kind, *map(str, names)))

    def _entry_fields(self, entry: Entry) -> dict[Any, Any]:
        at = f"{entry.heartbeat_s + self._epoch_s:.6f}"
        return {"current_ip": entry.address, "last_heartbeat": at, "status": entry.status}

    def _entry(self, fields: dict[bytes, bytes]) -> Entry | None:
        try:
            at_s = float(fields[b"last_heartbeat"]) - self._epoch_s
            return Entry(fields[b"current_ip"].decode(), at_s, fields[b"status"].decode())
        except (KeyError, ValueError):
            return None

    def _message_fields(self, message: Message) -> dict[Any, Any]:
        fields = {
            "kind": message.kind,
            "topic": message.topic,
            "size_bytes": str(message.size_bytes),
            "qos": str(message.qos),
            "created_at": f"{message.created_s + self._epoch_s:.6f}",
            "reply_to": str(message.reply_to),
            "reply_bytes": str(message.reply_bytes),
        }
        if message.expires_s < NEVER:
            fields["expires_at"] = f"{message.expires_s + self._epoch_s:.6f}"
        return fields

    def _message(self, message_id: int, fields: dict[bytes, bytes], payload: bytes | None) -> Message | None:
        if payload is None:
            return None
        try:
            topic, qos = fields[b"topic"].decode(), int(fields[b"qos"])
            created_s = float(fields[b"created_at"]) - self._epoch_s
            expires_s = float(fields[b"expires_at"]) - self._epoch_s if b"expires_at" in fields else NEVER
            message = decode_message(topic, payload, qos, created_s, uplink=False)
            message.id, message.kind = message_id, fields[b"kind"].decode()
            message.reply_to, message.reply_bytes = int(fields[b"reply_to"]), int(fields[b"reply_bytes"])
        except (KeyError, ValueError):
            return None
        if not (0 <= qos <= 2 and math.isfinite(created_s)) or math.isnan(expires_s):
            return None
        message.created_s, message.expires_s, message.body = created_s, expires_s, payload
        return message


def _text(value: bytes | None) -> str:
    return value.decode(errors="replace") if value else ""


def _whole(value: bytes | None) -> int:
    return int(value) if value and value.isdigit() else 0


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError | TimedOut):
        return "timed_out"
    if isinstance(error, AuthenticationError | BusyLoadingError):
        return "failed"
    if isinstance(error, NotConnected | OSError):
        chain: BaseException | None = error
        while chain is not None:
            if isinstance(chain, ConnectionRefusedError):
                return "refused"
            chain = chain.__cause__ or chain.__context__
        return "reset"
    return "failed"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
