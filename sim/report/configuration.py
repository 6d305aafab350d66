"""A strategy's configuration as one would write it down: the entry of a scenario file, and a paho-mqtt 2 client."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sim.report.knobs import SEED_USES, UNKNOWN, flat, paste_line, seed_value

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*\Z")  # YAML reads it as text, whatever stands around it
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_UNITS = ("_s", "_bytes", "_bps")
_ON_CONNECT = "user_timeout_s"


def departures(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Settings (path -> value) in which a strategy of the manifest departs from the seed; none are known of a user's own."""
    use = str(entry["use"])
    if use not in SEED_USES:
        return {}
    config = flat(entry.get("config") or {})
    return {key: value for key, value in config.items() if seed_value(use, key) not in (value, UNKNOWN)}


def is_seeds_own(entry: Mapping[str, Any]) -> bool:
    """Whether it is one of the seed's strategies with all of the seed's values."""
    return str(entry["use"]) in SEED_USES and not departures(entry)


def key_in_file(path: str) -> str:
    """The name of a setting in the scenario file, where values carry the unit: keep_alive_s -> keep_alive."""
    for suffix in _UNITS:
        if path.endswith(suffix):
            return path.removesuffix(suffix)
    return path


def scenario_entry(entry: Mapping[str, Any]) -> str:
    """The strategy in one line of a scenario's `strategies`, with what departs from the seed alone."""
    use, name = str(entry["use"]), str(entry["name"])
    parts = [f"use: {_scalar('', use)}"]
    if name != use:
        parts.append(f"name: {_scalar('', name)}")
    blocks: dict[str, list[str]] = {}
    for path, value in departures(entry).items():
        block, _, key = path.rpartition(".")
        blocks.setdefault(block, []).append(f"{key_in_file(key)}: {_scalar(path, value)}")
    parts += blocks.pop("", [])
    parts += [f"{block}: {{{', '.join(inside)}}}" for block, inside in blocks.items()]
    return f"- {_scalar('', use)}" if len(parts) == 1 else f"- {{{', '.join(parts)}}}"


def client_lines(entry: Mapping[str, Any]) -> list[str]:
    """The strategy's MQTT connection as the set-up of a paho-mqtt 2 client; empty where it has none."""
    config = flat(entry.get("config") or {})
    if str(entry["use"]) not in SEED_USES or "keep_alive_s" not in config:
        return []
    five = config["version"] == "5"
    session = "protocol=mqtt.MQTTv5" if five else f"clean_session={config['clean_session']}"
    lines = [f"client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=..., {session})"]
    for key in ("connect_timeout_s", "backoff.policy", "outbox.limit"):
        lines.append(paste_line(key, config[key], config))
    connect = f"client.connect(host, 8883, keepalive={config['keep_alive_s']:g}"
    if five:
        lines.append("properties = Properties(PacketTypes.CONNECT)")
        lines += [paste_line(key, config[key], config) for key in ("session_expiry_s", "receive_maximum")]
        connect += f", clean_start={config['clean_session']}, properties=properties"
    lines.append(f"{connect})")
    if config[_ON_CONNECT]:
        lines.append(
            f"{paste_line(_ON_CONNECT, config[_ON_CONNECT], config)}  # in on_connect: each connection has its own socket"
        )
    return [line for line in lines if line]


def by_hand(entry: Mapping[str, Any]) -> list[str]:
    """What departs from the seed and no line of paho's does: "address_watch: link_event"."""
    config = flat(entry.get("config") or {})
    mine = departures(entry)
    without = [key for key in mine if not paste_line(key, config[key], config)]
    if not client_lines(entry):
        return []
    return [f"{key_in_file(key)}: {_scalar(key, mine[key])}" for key in without]


def _scalar(path: str, value: Any) -> str:
    """A value as YAML reads it inside of { }."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_scalar('', part) for part in value)}]"
    if isinstance(value, int | float):
        return f"{value:.15g} s" if path.endswith("_s") else f"{value:.15g}"
    text = str(value)
    return text if _PLAIN.match(text) and text.lower() not in _RESERVED else json.dumps(text, ensure_ascii=False)
