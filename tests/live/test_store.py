"""The store in Redis: what another process finds there, and what happens when it is out of reach."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sim.live.payload import encode_message
from sim.machine import Message, MessageCreated
from tests.live.served_api import ROOT, exchange, request, served, statuses

pytest.importorskip("redis")

import redis.asyncio

from sim.live.store.place import StoreUnavailable, read_place
from sim.live.store.redis_server import OwnRedis, missing_redis
from sim.live.store.redis_store import RedisStore, StoreLost

pytestmark = pytest.mark.skipif(missing_redis() is not None, reason=str(missing_redis()))

CLOSE = "Connection: close"
BEAT = request("POST", ROOT + "/heartbeat", b'{"ip": "10.2.5.200"}', CLOSE)
STATUS = request("GET", ROOT, None, CLOSE)
POLL = request("GET", ROOT + "/pending-messages", None, CLOSE)


def chunk(message_id: int, size: int = 1000, **more: Any) -> Message:
    return Message(message_id, "ota", "vehicle/VIN123/ota", size, 1, 5.0 + message_id, **more)


def acknowledge(*ids: int) -> bytes:
    return request("POST", ROOT + "/pending-messages/ack", json.dumps({"ids": ids}).encode(), CLOSE)


def listed(said: bytes) -> list[int]:
    """Ids of the messages in an answer to a poll, from their payloads."""
    _head, _, body = said.partition(b"\r\n\r\n")
    line, _, rest = body.partition(b"\n")
    found, at = [], 0
    for about in json.loads(line)["messages"] if line else ():
        found.append(int.from_bytes(rest[at + 3 : at + 11], "big"))
        at += about["size"]
    return found


def body(said: bytes) -> Any:
    return json.loads(said.partition(b"\r\n\r\n")[2])


@asynccontextmanager
async def own_redis(folder: Path) -> AsyncIterator[OwnRedis]:
    own = await OwnRedis.started(folder)
    try:
        yield own
    finally:
        await own.stop()


@asynccontextmanager
async def looked_into(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


async def until(seen: Any, within_s: float = 5.0) -> None:
    ends = time.monotonic() + within_s
    while not await seen():
        assert time.monotonic() < ends, "not seen in time"
        await asyncio.sleep(0.02)


def test_a_restarted_server_finds_address_and_messages(tmp_path: Path):
    async def run() -> None:
        async with own_redis(tmp_path) as own:
            place = (own.url, "lab:test")
            async with served(store=place) as (port, host):
                assert statuses(await exchange(port, BEAT)) == [204]
                for number in (1, 2, 3):
                    host.input(MessageCreated(chunk(number)))
                assert listed(await exchange(port, POLL)) == [1, 2, 3]
                assert statuses(await exchange(port, acknowledge(2))) == [204]
                first = body(await exchange(port, STATUS))
            # the next one knows nothing but the store
            async with served(store=place) as (port, host):
                second = body(await exchange(port, STATUS))
                assert (second["current_ip"], second["status"]) == ("10.2.5.200", "online")
                # each counts from its own start
                assert second["last_heartbeat"] < first["last_heartbeat"]
                assert [m.id for m in host.machine.held()] == [1, 3]
                assert listed(await exchange(port, POLL)) == [1, 3]
                assert statuses(await exchange(port, acknowledge(1, 3))) == [204]
            async with served(store=place) as (port, host):
                assert listed(await exchange(port, POLL)) == []

    asyncio.run(run())


def test_what_lies_in_redis_before_the_answer_is_there(tmp_path: Path):
    async def run() -> None:
        async with (
            own_redis(tmp_path) as own,
            looked_into(own.url) as client,
            served(store=(own.url, "lab:test")) as (port, host),
        ):
            await exchange(port, BEAT)
            entry = await client.hgetall("lab:test:vehicle:VIN123")
            assert (entry["current_ip"], entry["status"]) == ("10.2.5.200", "online")
            assert abs(float(entry["last_heartbeat"]) - time.time()) < 5.0
            message = chunk(7, 4000, expires_s=1e5)
            host.input(MessageCreated(message))
            await exchange(port, POLL)
            assert await client.zrange("lab:test:pending:VIN123", 0, -1) == ["7"]
            about = await client.hgetall("lab:test:message:VIN123:7")
            assert (about["kind"], about["topic"], about["size_bytes"]) == ("ota", "vehicle/VIN123/ota", "4000")
            assert about["expires_at"] > about["created_at"]
            raw = redis.asyncio.Redis.from_url(own.url)
            assert await raw.get("lab:test:payload:VIN123:7") == encode_message(message)
            await raw.aclose()
            keys = await client.keys("*")
            assert all(key.startswith("lab:test:") for key in keys)
            assert all([0 < await client.ttl(key) <= 86_400 for key in keys])
            await exchange(port, acknowledge(7))
            assert await client.keys("*7") == []
            assert await client.zcard("lab:test:pending:VIN123") == 0

    asyncio.run(run())


def test_two_servers_at_once_see_what_the_other_writes(tmp_path: Path):
    async def run() -> None:
        async with own_redis(tmp_path) as own:
            place = (own.url, "lab:test")
            async with served(store=place) as (one, host), served(store=place) as (other, _host):
                for number in (1, 2):
                    host.input(MessageCreated(chunk(number, 300_000)))
                await exchange(one, BEAT)
                assert body(await exchange(other, STATUS))["current_ip"] == "10.2.5.200"
                assert listed(await exchange(other, POLL)) == [1, 2]
                await exchange(other, acknowledge(1))
                assert listed(await exchange(one, POLL)) == [2]
                moved = request("POST", ROOT + "/heartbeat", b'{"ip": "10.3.9.150"}', CLOSE)
                await exchange(other, moved)
                assert body(await exchange(one, STATUS))["current_ip"] == "10.3.9.150"

    asyncio.run(run())


def test_a_heartbeat_at_another_server_sets_the_waiting_messages_off(tmp_path: Path):
    """The server that holds a message for a vehicle it could not reach hears of the new address without being asked."""

    async def run() -> None:
        async with own_redis(tmp_path) as own:
            place = (own.url, "lab:test")
            use = "ddns_heartbeat"
            async with served(use, store=place) as (_one, host), served(use, store=place) as (other, _host):
                host.input(MessageCreated(chunk(1)))
                assert host.machine.state.value == "push_holding"
                await exchange(other, BEAT)
                await until(lambda: _true(bool(host._journal.record.connections)))
                assert host._journal.record.connections[0].target == "10.2.5.200:8443"

    asyncio.run(run())


async def _true(value: bool) -> bool:
    return value


@pytest.mark.parametrize("how", ["flushed", "restarted"])
def test_a_store_that_loses_everything(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What it held is lost, and says why."""

    async def run() -> None:
        own = await OwnRedis.started(tmp_path)
        try:
            async with served(store=(own.url, "lab:test")) as (port, host):
                host.input(MessageCreated(chunk(1)))
                assert statuses(await exchange(port, BEAT)) == [204]
                if how == "flushed":
                    async with looked_into(own.url) as client:
                        await client.flushdb()
                else:
                    redis_port = int(own.url.split(":")[2].split("/")[0])
                    await own.stop()
                    monkeypatch.setattr("sim.live.store.redis_server.free_ports", lambda _n: [redis_port])
                    own = await OwnRedis.started(tmp_path)
                    await until(lambda: _true(not host._is_lost))  # it may have been looked for meanwhile
                assert body(await exchange(port, STATUS))["current_ip"] is None
                assert list(host.machine.held()) == []
                drops = [row[3:] for row in host._journal.record.trace if row[2] == "drop"]
                assert drops == [(-1, 1, "store_failover")]
                assert statuses(await exchange(port, BEAT)) == [204]
                assert body(await exchange(port, STATUS))["current_ip"] == "10.2.5.200"
        finally:
            await own.stop()

    asyncio.run(run())


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_store_out_of_reach(how: str, tmp_path: Path):
    """503 at once or after the bound of the store's calls, never a hang; and all is well when it is back."""

    async def run() -> None:
        own = await OwnRedis.started(tmp_path)
        try:
            async with served(store=(own.url, "lab:test")) as (port, host):
                record = host._journal.record
                host.input(MessageCreated(chunk(1)))
                assert statuses(await exchange(port, BEAT)) == [204]
                marks = [s[2:] for s in record.states]
                pid = own.process.process.pid
                if how == "killed":
                    await own.stop()
                else:
                    os.kill(pid, signal.SIGSTOP)
                for raw in (STATUS, BEAT, POLL, acknowledge(1), request("POST", ROOT + "/telemetry", b"", CLOSE)):
                    began = time.monotonic()
                    assert statuses(await exchange(port, raw)) == [503]
                    assert time.monotonic() - began < 1.5
                assert statuses(await exchange(port, request("GET", "/nowhere", None, CLOSE))) == [404]
                lost = [s[2:] for s in record.states if s[2:] not in marks]
                assert lost == [("store_lost", "refused" if how == "killed" else "timed_out")]
                host.input(MessageCreated(chunk(2)))  # the server's application goes on
                if how == "killed":
                    return
                os.kill(pid, signal.SIGCONT)
                await until(lambda: _true(("store_regained", "") in [s[2:] for s in record.states]))
                assert listed(await exchange(port, POLL)) == [1, 2]
                async with looked_into(own.url) as client:
                    assert await client.zrange("lab:test:pending:VIN123", 0, -1) == ["1", "2"]
        finally:
            await own.stop()

    asyncio.run(run())


def test_an_answer_whose_write_fails_becomes_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Redis goes between the look before a request and the write after it."""

    async def run() -> None:
        async with own_redis(tmp_path) as own, served(store=(own.url, "lab:test")) as (port, host):
            write = host._store.write

            async def refused(_batches: Any) -> Any:
                raise StoreLost("refused", "as if it were gone")

            monkeypatch.setattr(host._store, "write", refused)
            assert statuses(await exchange(port, BEAT)) == [503]
            monkeypatch.setattr(host._store, "write", write)
            await until(lambda: _true(not host._is_lost))
            # what could not be written then has been written now
            assert body(await exchange(port, STATUS))["current_ip"] == "10.2.5.200"
            async with looked_into(own.url) as client:
                assert await client.hget("lab:test:vehicle:VIN123", "current_ip") == "10.2.5.200"

    asyncio.run(run())


def test_many_requests_at_once(tmp_path: Path):
    async def run() -> None:
        async with own_redis(tmp_path) as own, served(store=(own.url, "lab:test")) as (port, _host):
            said = await asyncio.gather(*(exchange(port, BEAT if n % 2 else STATUS) for n in range(60)))
            assert [statuses(one) for one in said] == [[204] if n % 2 else [200] for n in range(60)]
            pipelined = request("POST", ROOT + "/heartbeat", b'{"ip": "10.2.5.200"}') * 20 + STATUS
            assert statuses(await exchange(port, pipelined)) == [204] * 20 + [200]

    asyncio.run(run())


def test_contents_that_are_not_ours_are_survived(tmp_path: Path):
    async def run() -> None:
        async with own_redis(tmp_path) as own, looked_into(own.url) as client:
            await client.hset("lab:test:vehicle:VIN123", mapping={"current_ip": "x", "last_heartbeat": "never"})
            await client.zadd("lab:test:pending:VIN123", {"a": 1, "8": 2, "9": 3})
            await client.hset("lab:test:message:VIN123:9", mapping={"kind": "ota", "qos": "one"})
            await client.set("lab:test:payload:VIN123:9", "x")
            async with served(store=(own.url, "lab:test")) as (port, _host):
                assert body(await exchange(port, STATUS))["current_ip"] is None
                assert listed(await exchange(port, POLL)) == []
                await client.delete("lab:test:vehicle:VIN123")
                await client.set("lab:test:vehicle:VIN123", "no hash")
                assert statuses(await exchange(port, BEAT)) == [503]  # WRONGTYPE

    asyncio.run(run())


def test_only_the_keys_of_the_prefix_are_removed(tmp_path: Path):
    async def run() -> None:
        async with own_redis(tmp_path) as own, looked_into(own.url) as client:
            await client.set("theirs", "1")
            await client.set("lab:t*st", "1")
            await client.set("lab:test2:mark", "1")
            await client.set("lab:t*st:x", "1")
            await client.set("lab:test:x", "1")
            store = RedisStore(own.url, "lab:t*st", 0.0)
            await store.forget()
            await store.close()
            assert sorted(await client.keys("*")) == ["lab:t*st", "lab:test2:mark", "lab:test:x", "theirs"]

    asyncio.run(run())


def test_places():
    assert read_place("memory").kind == "memory"
    assert read_place("redis").kind == "own"
    assert read_place("redis://:secret@127.0.0.1:6379/3").shown == "redis://***@127.0.0.1:6379/3"
    for wrong in ("", "postgres", "redis:", "redis://", "redis://h:x/0", "redis://h:1/a", "http://h:1/0", "redis://h:99999/0"):
        with pytest.raises(StoreUnavailable, match="none of memory, redis"):
            read_place(wrong)
    with pytest.raises(StoreUnavailable) as refused:
        read_place("redis://me:secret@h:port/0")
    assert "secret" not in str(refused.value)
