"""A short drive with an address change, and what makes a sweep of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SCENARIO = """\
name: short
script:
  steps:
    - {at: 0 s, link: up, cell: Tower-A, gateway: city-a}
    - {at: 20 s, cell: Tower-B, gateway: highway, cause: handover to another gateway}
  duration: 50 s
network:
  gateways: {city-a: {address: 10.1.1.100}, highway: {address: 10.2.5.200}}
  access: private_apn
workload:
  ota: {image: 2 MiB, chunk: 256 KiB, every: 5 s}
  telemetry: {every: 10 s, size: 1 KiB}
strategies: [mqtt_persistent, hybrid]
replications: 3
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write the scenario with more text at its end; returns the path."""

    def written(more: str = "", name: str = "short.yaml", text: str = SCENARIO) -> Path:
        path = tmp_path / name
        path.write_text(text + more, encoding="utf-8")
        return path

    return written
