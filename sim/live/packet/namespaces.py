"""Network namespaces of the lab: made, entered and deleted by names that carry the process id of the lab that made them.

A namespace with a name outlives its processes (ip-netns(8)), so its name has to say whether anybody still needs it:
hl-veh-<process id>-<serial>. Nothing with any other name is ever touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import itertools
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from pathlib import Path

INTERFACE = "eth0"  # a TUN device; the name is the one in the seed's test scenario
_PLACE = Path("/run/netns")
_RESOLVERS = Path("/etc/netns")  # files that `ip netns exec` shows in place of those in /etc (ip-netns(8))
_OURS = re.compile(r"hl-(?:veh|srv|try)-(\d+)-\d+")
_serials = itertools.count(1)
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IP_AT_MOST_S = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str | None:
    """One line that names what the packet link lacks here, None where nothing is missing."""
    if sys.platform != "linux":
        return "the packet link needs Linux"
    if os.geteuid() != 0:
        return "the packet link needs root (network namespaces and TUN devices)"
    if shutil.which("ip") is None:
        return "the packet link needs the `ip` program (Debian package iproute2)"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"the packet link needs /dev/net/tun: {error.strerror}"
    trial = new_names("try")[0]
    try:
        make(trial)
    except OSError as error:
        return f"the packet link cannot make a network namespace: {error}"
    finally:
        delete(trial)
    return None


def new_names(*roles: str) -> list[str]:
    """Names that no other link of any running lab has."""
    serial = next(_serials)
    return [f"hl-{role}-{os.getpid()}-{serial}" for role in roles]


def make(name: str) -> None:
    """Make a namespace; one of the same name is the leftover of a process that had our id, and goes first."""
    if (_PLACE / name).exists():
        delete(name)
    _ip("netns", "add", name)


def ask_for_names(name: str, server_address: str) -> None:
    """Let what `ip netns exec` runs in a namespace of ours ask this server for names; nothing where /etc cannot be written."""
    for _ in range(3):  # another lab may be taking the folder away that it had made
        with contextlib.suppress(OSError):
            (_RESOLVERS / name).mkdir(parents=True, exist_ok=True)
            (_RESOLVERS / name / "resolv.conf").write_text(resolver_lines(server_address))
            return


def resolver_lines(server_address: str) -> str:
    """resolv.conf(5) of the vehicle: as the model has it, a query is sent three times, 5 s apart."""
    return f"nameserver {server_address}\noptions timeout:5 attempts:3\n"


def delete(name: str) -> None:
    """Delete a namespace of ours, if it is there."""
    if not _OURS.fullmatch(name):
        raise ValueError(f"{name} is not a namespace of the lab")
    if (_PLACE / name).exists():
        with contextlib.suppress(OSError):  # somebody else was faster
            _ip("netns", "delete", name)
    if (_RESOLVERS / name).exists():
        shutil.rmtree(_RESOLVERS / name, ignore_errors=True)
        with contextlib.suppress(OSError):  # others have theirs there
            _RESOLVERS.rmdir()


def delete_leftovers() -> list[str]:
    """Delete the namespaces of labs that are no more, as SIGKILL leaves them; returns their names."""
    gone = []
    for name in sorted({path.name for place in (_PLACE, _RESOLVERS) for path in place.glob("hl-*")}):
        ours = _OURS.fullmatch(name)
        if ours and not Path("/proc", ours[1]).exists():
            delete(name)
            gone.append(name)
    return gone


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=_IP_AT_MOST_S, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"ip {' '.join(arguments)} did not end within {_IP_AT_MOST_S:g} s") from None
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {' '.join(done.stderr.split())}")


def enter(name: str) -> None:
    """Move the calling thread into a namespace (os.setns is there from Python 3.12 on)."""
    with (_PLACE / name).open("rb") as place:
        _set(place.fileno())


@contextlib.contextmanager
def entered(name: str) -> Iterator[None]:
    """The calling thread is in the namespace within the block."""
    with Path("/proc/thread-self/ns/net").open("rb") as home:
        enter(name)
        try:
            yield
        finally:
            _set(home.fileno())


def _set(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def open_tun() -> int:
    """A TUN device in the calling thread's namespace; it vanishes when its descriptor is closed."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def set_sysctl(name: str, value: int | str) -> None:
    """Set net/... of the calling thread's namespace where it differs; raises OSError where it cannot be."""
    if sysctl(name) != str(value):
        Path("/proc/sys/net", name).write_text(str(value))


def sysctl(name: str) -> str:
    """The value of net/... in the calling thread's namespace."""
    return Path("/proc/sys/net", name).read_text().strip()


class Doorway:
    """Makes sockets inside a namespace, from a thread that lives there. A socket stays where it was made."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, f"in {name}", initializer=enter, initargs=(name,))

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        """A non-blocking IPv4 socket in the namespace. Waits for the thread: some microseconds."""
        try:
            opened = self._thread.submit(socket.socket, socket.AF_INET, kind).result(_IP_AT_MOST_S)
        except BrokenExecutor:  # it could not enter
            raise OSError(errno.ENETDOWN, "the namespace is gone") from None
        opened.setblocking(False)
        return opened

    def close(self) -> None:
        self._thread.shutdown(wait=True)
