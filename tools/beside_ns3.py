"""The fleet workload here and in ns-3, side by side: builds tools/ns3/*.cc, runs both in turns, prints rates and ratios.

    python tools/beside_ns3.py [--rounds 3]

Needs g++, pkg-config and ns-3 (Debian: libns3-dev libgsl-dev libsqlite3-dev). All rates are vehicle-seconds per CPU-second:
of ns-3 the whole process, of the lab the drive and the simulation. docs/speed.md says what is coarser in ours.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tools" / "ns3"
BUILT = ROOT / "build" / "ns3"
MODULES = {
    "tcp": ("ns3-internet", "ns3-csma", "ns3-point-to-point"),
    "lte": ("ns3-internet", "ns3-lte", "ns3-mobility", "ns3-point-to-point"),
}
#: (program, vehicles, simulated s): as much as takes some seconds
RUNS = (("tcp", 10, 3600), ("tcp", 100, 600), ("lte", 10, 30))
_LEAST_CPU_S = 2.0  # of the lab, in one round


def missing() -> str:
    """What is missing for a build, "" where nothing is."""
    for program in ("g++", "pkg-config"):
        if shutil.which(program) is None:
            return f"{program} is missing"
    wanted = sorted({module for modules in MODULES.values() for module in modules})
    found = subprocess.run(["pkg-config", "--print-errors", "--exists", *wanted], capture_output=True, text=True, check=False)
    return "" if found.returncode == 0 else "ns-3 is missing (Debian: apt-get install libns3-dev libgsl-dev libsqlite3-dev)"


def build(name: str) -> None:
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", *MODULES[name]], capture_output=True, text=True, check=True
    ).stdout.split()
    subprocess.run(["g++", "-O2", "-std=c++17", f"{SOURCES / name}.cc", "-o", str(BUILT / name), *flags], check=True)


def ns3_rate(name: str, vehicles: int, seconds: int) -> float:
    """Vehicle-seconds per CPU-second of one run."""
    process = subprocess.Popen(
        [str(BUILT / name), f"--vehicles={vehicles}", f"--seconds={seconds}"], stdout=subprocess.PIPE, text=True
    )
    output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{name} failed")
    return vehicles * seconds / json.loads(output)["cpu_s"]


def lab_rate(vehicles: int) -> tuple[float, bool]:
    """The same of the lab, in a process of its own, and whether it is compiled."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--lab", str(vehicles)],
        stdout=subprocess.PIPE, cwd=ROOT, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    return float(found["rate"]), bool(found["compiled"])


def run_lab(vehicles: int) -> None:
    sys.path.insert(0, str(ROOT))
    from sim import compiled

    compiled.install()
    from sim.study.bench import run_fleet

    run_fleet(2, 600.0)  # imports and first calls
    vehicle_s = cpu_s = 0.0
    while cpu_s < _LEAST_CPU_S:
        fleet = run_fleet(vehicles, 3600.0)
        vehicle_s += fleet.vehicle_s
        cpu_s += fleet.drive_cpu_s + fleet.model_cpu_s
    print(json.dumps({"rate": vehicle_s / cpu_s, "compiled": compiled.in_use()}))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lab", type=int, metavar="VEHICLES", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.lab:
        run_lab(arguments.lab)
        return 0
    lacking = missing()
    if lacking:
        print(lacking, file=sys.stderr)
        return 2
    BUILT.mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        build(name)
    theirs: dict[tuple[str, int], list[float]] = {(name, vehicles): [] for name, vehicles, _ in RUNS}
    ours: dict[int, list[float]] = {vehicles: [] for _, vehicles, _ in RUNS}
    is_compiled = False
    for number in range(arguments.rounds):
        for vehicles, rates in ours.items():
            rate, is_compiled = lab_rate(vehicles)
            rates.append(rate)
        for name, vehicles, seconds in RUNS:
            theirs[name, vehicles].append(ns3_rate(name, vehicles, seconds))
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
    version = subprocess.run(["pkg-config", "--modversion", "ns3-core"], capture_output=True, text=True, check=True)
    load = os.getloadavg()[0]
    form = "compiled" if is_compiled else "not compiled"
    print(
        f"ns-3 {version.stdout.strip()}; the lab {form}, Python {sys.version.split()[0]}; "
        f"{arguments.rounds} rounds, load average {load:.1f}\n"
    )
    print("| ns-3 | vehicles | ns-3, vehicle-s per CPU-s | lab, the same | ratio (lowest to highest round) |")
    print("| --- | --- | --- | --- | --- |")
    for (name, vehicles), rates in theirs.items():
        ratios = [own / other for own, other in zip(ours[vehicles], rates, strict=True)]
        print(
            f"| {name} | {vehicles} | {statistics.median(rates):,.0f} | {statistics.median(ours[vehicles]):,.0f} "
            f"| {statistics.median(ratios):,.1f} ({min(ratios):,.1f} to {max(ratios):,.1f}) |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
