"""Path loss, line-of-sight probability and shadowing of 3GPP TR/TS 38.901, tables 7.4.1-1, 7.4.2-1 and 7.5-6.

Frequencies in Hz, distances in m, losses in dB. Antenna heights and street dimensions are the tables' defaults.

Simplification: the formulas are used beyond the distances they were fitted for (5 km; RMa LOS 10 km).
Simplification: flat ground; no tunnels, buildings or corners but those in the LOS probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.drive.config import PathLoss
from sim.drive.timeline import Floats

LIGHT_MPS = 299_792_458.0
#: Height of the vehicle's antenna, h_UT.
VEHICLE_HEIGHT_M = 1.5
#: Nearest distance for which the formulas are meant.
NEAREST_M = 10.0
_BUILDING_M = 5.0  # average building height h, RMa
_STREET_M = 20.0  # street width W, RMa


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Constants of one path loss model."""

    height_m: float  # base station, h_BS
    los_sigma_db: float
    nlos_sigma_db: float
    decorrelation_m: float  # shadowing, NLOS (table 7.5-6)


SURROUNDINGS: dict[PathLoss, Surroundings] = {
    "uma": Surroundings(25.0, 4.0, 6.0, 50.0),
    "umi": Surroundings(10.0, 4.0, 7.82, 13.0),
    # Simplification: RMa LOS has 6 dB throughout, not 4 dB before the break point; most of a cell lies behind it.
    "rma": Surroundings(35.0, 6.0, 8.0, 120.0),
}


def los_probability(model: PathLoss, distance_m: Floats) -> Floats:
    """P(LOS) by ground distance (table 7.4.2-1; UMa for terminals up to 13 m high), shape as `distance_m`."""
    if model == "rma":
        return np.exp(-np.maximum(distance_m - 10.0, 0.0) / 1000.0)
    d = np.maximum(distance_m, 18.0)
    return 18.0 / d + np.exp(-d / (63.0 if model == "uma" else 36.0)) * (1.0 - 18.0 / d)


def path_loss_db(model: PathLoss, distance_m: Floats, frequency_hz: float) -> tuple[Floats, Floats]:
    """(LOS, NLOS) path loss by ground distance (table 7.4.1-1), shapes as `distance_m`; NLOS is never below LOS."""
    height_m = SURROUNDINGS[model].height_m
    d = np.maximum(distance_m, NEAREST_M)
    d3 = np.hypot(d, height_m - VEHICLE_HEIGHT_M)
    log_d3 = np.log10(d3)
    ghz = frequency_hz / 1e9
    if model == "rma":
        return _rma(d, d3, log_d3, frequency_hz)
    # effective heights: 1 m of traffic is taken off both (note 1 of the table)
    break_m = 4.0 * (height_m - 1.0) * (VEHICLE_HEIGHT_M - 1.0) * frequency_hz / LIGHT_MPS
    bend_db = np.log10(break_m**2 + (height_m - VEHICLE_HEIGHT_M) ** 2)
    f_db = 20.0 * np.log10(ghz)
    if model == "uma":
        los = np.where(d <= break_m, 28.0 + 22.0 * log_d3, 28.0 + 40.0 * log_d3 - 9.0 * bend_db) + f_db
        nlos = 13.54 + 39.08 * log_d3 + f_db - 0.6 * (VEHICLE_HEIGHT_M - 1.5)
    else:
        los = np.where(d <= break_m, 32.4 + 21.0 * log_d3, 32.4 + 40.0 * log_d3 - 9.5 * bend_db) + f_db
        nlos = 22.4 + 35.3 * log_d3 + 21.3 * np.log10(ghz) - 0.3 * (VEHICLE_HEIGHT_M - 1.5)
    return los, np.maximum(los, nlos)


def _rma(d: Floats, d3: Floats, log_d3: Floats, frequency_hz: float) -> tuple[Floats, Floats]:
    ghz, h, height_m = frequency_hz / 1e9, _BUILDING_M, SURROUNDINGS["rma"].height_m
    slope = min(0.03 * h**1.72, 10.0)
    offset = min(0.044 * h**1.72, 14.77)
    rise = 0.002 * np.log10(h)
    free = 20.0 * np.log10(40.0 * np.pi * ghz / 3.0)
    break_m = 2.0 * np.pi * height_m * VEHICLE_HEIGHT_M * frequency_hz / LIGHT_MPS
    near = free + (20.0 + slope) * log_d3 - offset + rise * d3
    at_break = free + (20.0 + slope) * np.log10(break_m) - offset + rise * break_m
    los = np.where(d <= break_m, near, at_break + 40.0 * (log_d3 - np.log10(break_m)))
    log_height = np.log10(height_m)
    nlos = (
        161.04
        - 7.1 * np.log10(_STREET_M)
        + 7.5 * np.log10(h)
        - (24.37 - 3.7 * (h / height_m) ** 2) * log_height
        + (43.42 - 3.1 * log_height) * (log_d3 - 3.0)
        + 20.0 * np.log10(ghz)
        - (3.2 * np.log10(11.75 * VEHICLE_HEIGHT_M) ** 2 - 4.97)
    )
    return los, np.maximum(los, nlos)
