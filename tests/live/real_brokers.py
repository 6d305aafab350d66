"""The real brokers of the tests: mosquitto always, the others with `make brokers`; what is missing is said in the skip."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sim.live.brokers import BROKERS
from sim.live.brokers.running import RunningBroker
from sim.live.probe.client import Peer
from sim.live.probe.script import new_run

ALWAYS = "mosquitto"


def every_broker() -> list[Any]:
    """Parameters: mosquitto is quick and in every run, the others take longer."""
    return [pytest.param(name, marks=[pytest.mark.broker, *([] if name == ALWAYS else [pytest.mark.slow])]) for name in BROKERS]


def skip_without(name: str) -> None:
    """Skip where the broker is not installed, or is not asked for."""
    why = BROKERS[name].missing()
    if why:
        pytest.skip(why)
    if name != ALWAYS and os.environ.get("HANDOVER_LAB_BROKERS") != "all":
        pytest.skip(f"{name} takes longer: make brokers")


def peer_of(broker: RunningBroker) -> Peer:
    login = broker.login
    return Peer(
        broker.host,
        broker.port,
        new_run(),
        username=login.username if login else None,
        password=login.password if login else None,
    )
