"""However a lab with a packet link ends, no namespace and no process of it stays behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.live.clock import Clock
from sim.live.packet import namespaces
from sim.live.packet_link import PacketLink
from tests.live.packet_lab import OLD, PORT, SERVER, drive, live, skip_where_impossible

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _possible():
    skip_where_impossible()


#: ignores SIGTERM, forks, and its grandchild leaves its session; the last argument is there to be found by
_STUBBORN = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork() or os.setsid() or os.fork()"
_STUBBORN += "; print('stands', flush=True); time.sleep(300)"

_A_LAB = """
import asyncio, subprocess, sys
from sim.live.clock import Clock
from sim.live.packet_link import PacketLink
from tests.live.packet_lab import OLD, SERVER, drive

async def run():
    link = PacketLink(drive((0.0, OLD)), SERVER, "public", Clock(asyncio.get_running_loop(), 0.0), queue_bytes=1 << 18)
    await link.start()
    argv = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
    client = await link.run_client(argv, stdout=subprocess.PIPE)
    for _ in range(3):
        await client.stdout.readline()
    print(link.vehicle_namespace, link.server_namespace, link._forwarder.pid, client.pid, flush=True)
    await asyncio.sleep(300)

asyncio.run(run())
"""


def a_lab(mark="a-client-of-the-tests"):
    """A lab in another process: (process, its namespaces, id of its forwarder, id of its client)."""
    process = subprocess.Popen(
        [sys.executable, "-c", _A_LAB, _STUBBORN, mark],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    vehicle, server, forwarder, client = process.stdout.readline().split()
    return process, {vehicle, server}, int(forwarder), int(client)


def marked(mark):
    """How many processes have `mark` as their last argument."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes().endswith(mark.encode() + b"\0")
        except OSError:  # it has just ended
            continue
    return found


def gone_within(seconds, still_there):
    until = time.monotonic() + seconds
    while still_there() and time.monotonic() < until:
        time.sleep(0.05)
    return not still_there()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_lab_that_was_killed_leaves_no_namespace_and_no_process(sign):
    mark = f"stubborn-{os.getpid()}-{sign}"
    process, made, forwarder, client = a_lab(mark)
    assert made <= set(os.listdir("/run/netns"))
    assert made & set(os.listdir("/etc/netns"))
    assert marked(mark) >= 4  # the three of the program, and who started them
    process.send_signal(sign)
    process.wait(10.0)
    assert gone_within(5.0, lambda: made & set(os.listdir("/run/netns")))
    assert gone_within(5.0, lambda: any(Path("/proc", str(pid)).exists() for pid in (forwarder, client)))
    assert gone_within(5.0, lambda: marked(mark))
    assert not any(Path("/etc/netns", name).exists() for name in made)


def test_a_program_that_will_not_end_is_ended_with_all_that_it_started():
    mark = f"stubborn-{os.getpid()}-stop"

    async def case(lab):
        client = await lab.link.run_client([sys.executable, "-c", _STUBBORN, mark], stdout=subprocess.PIPE)
        for _ in range(3):
            await client.stdout.readline()
        assert marked(mark) >= 4

    live(case, drive((0.0, OLD)))
    assert gone_within(1.0, lambda: marked(mark))


def test_what_a_lab_left_whose_forwarder_was_killed_too_goes_with_the_next_start():
    process, made, forwarder, _ = a_lab()
    process.send_signal(signal.SIGSTOP)
    os.kill(forwarder, signal.SIGKILL)
    process.kill()
    process.wait(10.0)
    assert made <= set(os.listdir("/run/netns"))
    live(lambda lab: lab.connect(), drive((0.0, OLD)))
    assert not made & set(os.listdir("/run/netns"))


def test_a_link_whose_forwarder_dies_says_so_and_still_cleans_up():
    async def case():
        loop = asyncio.get_running_loop()
        link = PacketLink(drive((0.0, OLD)), SERVER, "public", Clock(loop, 0.0), queue_bytes=262_144)
        await link.start()
        os.kill(link._forwarder.pid, signal.SIGKILL)
        await asyncio.sleep(0.3)
        with pytest.raises(OSError, match="the packet link broke"):
            await link.connect_from_vehicle(SERVER.address, PORT, asyncio.Protocol)
        await link.stop()
        assert not {link.vehicle_namespace, link.server_namespace} & set(os.listdir("/run/netns"))

    asyncio.run(asyncio.wait_for(case(), 20.0))


def test_only_namespaces_of_the_lab_are_deleted():
    with pytest.raises(ValueError, match="not a namespace of the lab"):
        namespaces.delete("somebody-elses")
