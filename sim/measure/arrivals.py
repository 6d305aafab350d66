"""When messages got through on the MQTT connection: shows how long TCP went on waiting after a disruption it survived."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]


class Arrivals:
    """First sending and first arrival of one vehicle's messages over MQTT, for each direction. Times in s, inf is never."""

    def __init__(self, messages: pl.DataFrame) -> None:
        """`messages`: those of one vehicle in one drive under one strategy, probes too: they wait in the same stream."""
        mqtt = messages.filter((pl.col("via") == "mqtt") & pl.col("first_sent_s").is_not_null())
        requests = ~pl.col("uplink")
        answers = mqtt.filter(requests & pl.col("kind").is_in(["diagnostics", "probe"]))
        down = _pairs(mqtt.filter(requests), "first_sent_s", "handed_s")
        up = _pairs(mqtt.filter(~requests), "first_sent_s", "handed_s")
        answered = _pairs(answers, "handed_s", "delivered_s")
        self._directions = (down, (np.concatenate([up[0], answered[0]]), np.concatenate([up[1], answered[1]])))

    def flow_from(self, clear_s: float) -> float:
        """First instant from `clear_s` on at which both directions let messages through.

        A direction in which something was on its way goes on with its first arrival: TCP sends again when its
        retransmission timer says so, which has been doubled with every loss (RFC 6298 5.5), and in order. One in which
        nothing was on its way is free at once.
        """
        flows = clear_s
        for sent_s, arrived_s in self._directions:
            later = arrived_s >= clear_s
            if bool((later & (sent_s < clear_s)).any()):
                flows = max(flows, float(arrived_s[later].min()))
        return flows


def _pairs(messages: pl.DataFrame, sent: str, arrived: str) -> tuple[Floats, Floats]:
    return messages[sent].fill_null(math.inf).to_numpy(), messages[arrived].fill_null(math.inf).to_numpy()
