"""Drives that several tests share."""

from dataclasses import replace

from sim.drive.config import (
    DriveConfig,
    Gateway,
    LinkSettings,
    Network,
    Radio,
    Reassignment,
    Script,
    ScriptStep,
    Tower,
    Waypoint,
)

GATEWAYS = {"city-a": Gateway("10.1.1.100"), "highway": Gateway("10.2.5.200"), "city-b": Gateway("10.3.9.150")}


def city_a_to_b(realism: bool = True, **reassignment: object) -> DriveConfig:
    """30 km past three towers, one gateway each."""
    return DriveConfig(
        route=(Waypoint((0.0, 0.0)), Waypoint((30e3, 0.0), 25.0)),
        towers=(
            Tower("Tower-A", (5e3, 300.0), "city-a"),
            Tower("Tower-B", (15e3, -200.0), "highway"),
            Tower("Tower-C", (25e3, 300.0), "city-b"),
        ),
        network=Network(gateways=GATEWAYS, reassignment=replace(Reassignment(delay_s=1.2), **reassignment)),  # type: ignore[arg-type]
        radio=Radio(shadowing_db=5.2),
        link=LinkSettings(realism=realism),
    )


def scripted(*steps: ScriptStep, duration_s: float = 60.0, **reassignment: object) -> DriveConfig:
    return DriveConfig(
        script=Script(steps, duration_s),
        network=Network(
            gateways={"a": Gateway("10.1.1.100"), "b": Gateway("10.2.5.200")},
            reassignment=replace(Reassignment(delay_s=2.0), **reassignment),  # type: ignore[arg-type]
        ),
    )
