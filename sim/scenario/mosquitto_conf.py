"""A real mosquitto.conf(5): the options that the model knows become values of `server.broker` and `server.store`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.protocols.server import Server
from sim.scenario.document import nearest, no_file, one_line

_MAX_BYTES = 2**20
_NO_LIMIT = 2**31
_NEVER_S = 1e9  # saved at the end alone
_DURATIONS_S = {"h": 3600, "d": 86400, "w": 604800, "m": 2592000, "y": 31536000}


@dataclass(slots=True)
class MosquittoConf:
    """What a file says: fields of Broker and Store, `ignored` options (line, name), `errors` (line, option, text)."""

    broker: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    ignored: list[tuple[int, str]] = field(default_factory=list)
    errors: list[tuple[int, str, str]] = field(default_factory=list)


def parse(text: str) -> MosquittoConf:
    """Read the text of a mosquitto.conf. Of an option that is given twice the last one holds.

    An option that the model does not know is ignored, and listed; one that it knows with a value that mosquitto would not
    take is an error. Simplification: `message_size_limit` refuses as `max_packet_size` does, with the connection.
    """
    found = MosquittoConf(store={"kind": "memory"})  # persistence false is mosquitto's default
    sizes: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        name, _space, value = line.strip().partition(" ")
        value = value.strip()
        reader = _OPTIONS.get(name)
        if reader is None:
            found.ignored.append((number, name))
            continue
        try:
            reader(found, value, sizes)
        except ValueError as error:
            found.errors.append((number, name, one_line(error)))
    if sizes:
        found.broker["packet_limit_bytes"] = min(sizes)
    return found


def read_conf(path: Path) -> MosquittoConf | str:
    """The file, or one line on why it cannot be read."""
    if wrong := no_file(path):
        return wrong
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if len(data) > _MAX_BYTES:
        return "is larger than 1 MiB, no mosquitto.conf is"
    try:
        return parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"byte 0x{data[error.start]:02X} is not UTF-8"


def with_conf(server: Server, conf: MosquittoConf, store_given: bool) -> Server:
    """The server with what the file says, where the scenario itself says nothing."""
    broker = {name: value for name, value in conf.broker.items() if getattr(server.broker, name) is None}
    store = server.store if store_given else dataclasses.replace(server.store, **conf.store)
    return dataclasses.replace(server, broker=dataclasses.replace(server.broker, **broker), store=store)


# --- options ----------------------------------------------------------------------------------------------------------------


def _whole(value: str, least: int = 0, most: int = 2**31 - 1) -> int:
    try:
        number = int(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number, expected {least} to {most}") from None
    if not least <= number <= most:
        raise ValueError(f"{number} is out of range, expected {least} to {most}")
    return number


def _truth(value: str) -> bool:
    if value not in ("true", "false"):
        near = nearest(value, ("true", "false"))
        raise ValueError(f"{value!r} is unknown, expected true or false" + (f", did you mean {near}" if near else ""))
    return value == "true"


def _queued(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    found.broker["queue_limit"] = _whole(value) or _NO_LIMIT


def _inflight(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    # mosquitto's receive maximum is the same number (brokers 3: 20 in its CONNACK)
    found.broker["inflight_limit"] = found.broker["receive_maximum"] = _whole(value, most=65535) or 65535


def _expiration(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    unit_s = _DURATIONS_S.get(value[-1:])
    if unit_s is None:
        raise ValueError(f"{value!r} is not a duration, expected a whole number followed by one of h, d, w, m, y, such as 14d")
    expires_s = float(_whole(value[:-1], least=1) * unit_s)
    found.broker["session_expiry_default_s"] = found.broker["session_expiry_max_s"] = expires_s


def _qos0(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    found.broker["queue_qos0"] = _truth(value)


def _upgrade(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    found.broker["raises_qos"] = _truth(value)


def _qos(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    found.broker["qos_max"] = _whole(value, most=2)


def _alias(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    found.broker["topic_alias_maximum"] = _whole(value, most=65535)


def _keep_alive(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    found.broker["keep_alive_max_s"] = float(_whole(value, least=10, most=65535))


def _packet(found: MosquittoConf, value: str, sizes: list[int]) -> None:
    sizes.append(_whole(value, least=20))


def _message(found: MosquittoConf, value: str, sizes: list[int]) -> None:
    limit = _whole(value, most=268_435_455)
    if limit:
        sizes.append(limit)


def _persistence(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    found.store["kind"] = "disk" if _truth(value) else "memory"


def _autosave(found: MosquittoConf, value: str, _sizes: list[int]) -> None:
    found.store["save_interval_s"] = float(_whole(value)) or _NEVER_S


_OPTIONS: dict[str, Callable[[MosquittoConf, str, list[int]], None]] = {
    "max_queued_messages": _queued,
    "max_inflight_messages": _inflight,
    "persistent_client_expiration": _expiration,
    "queue_qos0_messages": _qos0,
    "upgrade_outgoing_qos": _upgrade,
    "max_qos": _qos,
    "max_topic_alias": _alias,
    "max_keepalive": _keep_alive,
    "max_packet_size": _packet,
    "message_size_limit": _message,
    "persistence": _persistence,
    "autosave_interval": _autosave,
}
