"""Settings of a strategy that a reader can turn in a real client: the seed's value, and the line to paste.

The values are the defaults of `sim.strategies.config`; a test holds them equal. They stand here because a report is made
from a run's files alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: setting (path in the strategy's config) -> the seed's value, where the lab's default is not another.
SEED: dict[str, Any] = {
    "version": "3.1.1",
    "keep_alive_s": 30.0,
    "ping_rule": "paho",
    "ping_timeout_s": None,
    "session_expiry_s": 4294967295.0,
    "receive_maximum": 65535,
    "connect_timeout_s": 10.0,
    "user_timeout_s": 0.0,
    "notices": ["keep_alive", "transport", "address"],
    "address_poll_s": 10.0,
    "when_parked": "stay_connected",
    "wake_every_s": 3600.0,
    "awake_s": 60.0,
    "backoff.policy": "exponential",
    "backoff.base_s": 1.0,
    "backoff.cap_s": 60.0,
    "backoff.multiplier": 2.0,
    "outbox.limit": 1000,
    "outbox.drop": "oldest",
    "heartbeat_s": 30.0,
    "heartbeat_timeout_s": 10.0,
    "locate": "registry",
    "dns_ttl_s": 60.0,
    "push.connect_timeout_s": 10.0,
    "push.response_timeout_s": 10.0,
    "push.batch": 20,
    "push.store_limit": 1000,
    "poll_s": 60.0,
    "poll_timeout_s": 10.0,
    "poll_batch": 10,
    "poll_drains": True,
    "ack": "explicit",
    "fallback_after_s": 0.0,
    "retry": "backoff",
    "http": "per_request",
    "uplink": "outbox",
    "store_limit": 1000,
    "post_timeout_s": 10.0,
    "post_batch": 20,
    "attempts": 3,
    "retry_s": 10.0,
}
#: The same where the strategies differ in it: (strategy, setting) -> value.
SEED_OF: dict[tuple[str, str], Any] = {
    ("mqtt_persistent", "clean_session"): False,
    ("hybrid", "clean_session"): False,
    ("mqtt_clean_session", "clean_session"): True,
    ("mqtt_persistent", "resubscribe"): "when_needed",
    ("hybrid", "resubscribe"): "when_needed",
    ("mqtt_clean_session", "resubscribe"): "always",
    ("mqtt_persistent", "address_watch"): "poll",
    ("hybrid", "address_watch"): "poll",
    ("mqtt_clean_session", "address_watch"): "poll",
    ("ddns_heartbeat", "address_watch"): "off",
}
#: The strategies whose values these are.
SEED_USES = ("mqtt_persistent", "ddns_heartbeat", "hybrid", "mqtt_clean_session", "static_push")
UNKNOWN = object()


def seed_value(use: str, knob: str) -> Any:
    """The seed's value of a setting, UNKNOWN where none is recorded (a user's own strategy)."""
    return SEED_OF.get((use, knob), SEED.get(knob, UNKNOWN))


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config as path -> value: {"backoff": {"base_s": 1.0}} -> {"backoff.base_s": 1.0}."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _seconds(value: Any) -> str:
    return f"{float(value):g}"


def _reconnect_delay(config: Mapping[str, Any]) -> str:
    """paho doubles its delay from the least to the most; other policies have to be written."""
    if config.get("backoff.policy") not in ("exponential", "paho") or float(config.get("backoff.multiplier", 2.0)) != 2.0:
        return ""
    low, high = (max(round(float(config[f"backoff.{side}_s"])), 1) for side in ("base", "cap"))
    return f"client.reconnect_delay_set(min_delay={low}, max_delay={high})"


_PASTE: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "keep_alive_s": lambda value, _: f"client.connect(host, 8883, keepalive={_seconds(value)})",
    "connect_timeout_s": lambda value, _: f"client.connect_timeout = {_seconds(value)}",
    "clean_session": lambda value, config: (
        f"client.connect(host, 8883, clean_start={value})"
        if config.get("version") == "5"
        else f"mqtt.Client(CallbackAPIVersion.VERSION2, client_id=..., clean_session={value})"
    ),
    "version": lambda value, _: (
        f"mqtt.Client(CallbackAPIVersion.VERSION2, client_id=..., protocol=mqtt.{'MQTTv5' if value == '5' else 'MQTTv311'})"
    ),
    "session_expiry_s": lambda value, config: (
        f"properties.SessionExpiryInterval = {_seconds(value)}" if config.get("version") == "5" else ""
    ),
    "receive_maximum": lambda value, config: f"properties.ReceiveMaximum = {value}" if config.get("version") == "5" else "",
    "user_timeout_s": lambda value, _: (
        f"client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, {round(float(value) * 1000)})"
    ),
    "backoff.policy": lambda _, config: _reconnect_delay(config),
    "backoff.base_s": lambda _, config: _reconnect_delay(config),
    "backoff.cap_s": lambda _, config: _reconnect_delay(config),
    "outbox.limit": lambda value, _: f"client.max_queued_messages_set({value})",
}

#: Setting of the broker -> line of mosquitto.conf.
_MOSQUITTO: dict[str, Callable[[Any], str]] = {
    "queue_limit": lambda value: f"max_queued_messages {value}",
    "inflight_limit": lambda value: f"max_inflight_messages {value}",
    "queue_qos0": lambda value: f"queue_qos0_messages {'true' if value else 'false'}",
    "packet_limit_bytes": lambda value: f"max_packet_size {value}",
    "session_expiry_max_s": lambda value: f"persistent_client_expiration {max(round(float(value) / 3600.0), 1)}h",
}


def paste_line(knob: str, value: Any, config: Mapping[str, Any]) -> str:
    """The line of a paho-mqtt 2 client that does what the setting says; empty where none does."""
    return _PASTE[knob](value, config) if knob in _PASTE and value is not None else ""


def mosquitto_lines(broker: Mapping[str, Any]) -> list[str]:
    """The lines of mosquitto.conf for the broker settings that a scenario changed."""
    if broker.get("preset") != "mosquitto":
        return []
    return [line(broker[key]) for key, line in _MOSQUITTO.items() if broker.get(key) is not None]
