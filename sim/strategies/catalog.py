"""The strategies by name: settings class and one line for `list`. Machines are built by `sim.strategies.build`."""

from __future__ import annotations

from typing import Any

from sim.strategies.config import DDNSHeartbeat, Hybrid, MQTTCleanSession, MQTTPersistent, StaticPush

#: name -> (settings class, one line, is a baseline)
STRATEGIES: dict[str, tuple[type[Any], str, bool]] = {
    "mqtt_persistent": (MQTTPersistent, "1: MQTT keep alive + reconnection, persistent session (recommended by the seed)", False),
    "ddns_heartbeat": (DDNSHeartbeat, "2: heartbeat to a registry or dynamic DNS, the server connects in", False),
    "hybrid": (Hybrid, "3: MQTT first, HTTPS polling while it is down", False),
    "mqtt_clean_session": (MQTTCleanSession, "baseline: strategy 1 with clean session", True),
    "static_push": (StaticPush, "baseline: the server connects to the first address and never learns another", True),
}
