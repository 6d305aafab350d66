"""Starts a program as the vehicle: in its namespace, with the link's DNS server as its own. Replaces itself by the program.

    (arguments) NAMESPACE LAB_PID SERVER_ADDRESS PROGRAM [ARGUMENT ...]

The program is killed when the lab is (PR_SET_PDEATHSIG), so that none stays behind in a namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import tempfile

from sim.live.packet.namespaces import enter

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_RESOLVER = "/etc/resolv.conf"
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    namespace, lab_pid, server_address, *command = sys.argv[1:]
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(lab_pid):
        return 1  # it ended before we asked to be told
    enter(namespace)
    with contextlib.suppress(OSError):  # without it the program has to be given an address instead of a name
        ask_server_for_names(server_address)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127


def ask_server_for_names(server_address: str) -> None:
    """Let this process alone (and what it becomes) see another /etc/resolv.conf."""
    if not os.path.exists(_RESOLVER):
        return
    descriptor, path = tempfile.mkstemp(prefix="hl-resolv-")
    try:
        os.write(descriptor, f"nameserver {server_address}\noptions timeout:5 attempts:3\n".encode())
        os.fchmod(descriptor, 0o644)
        _check(_libc.unshare(_CLONE_NEWNS))
        _check(_libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None))
        _check(_libc.mount(path.encode(), _RESOLVER.encode(), None, _MS_BIND, None))
    finally:
        os.close(descriptor)
        os.unlink(path)  # what is mounted stays


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    raise SystemExit(main())
