"""Starts a program as the vehicle: in its namespace, with the link's DNS server as its own, and ends like the program does.

    (arguments) NAMESPACE LAB_PID SERVER_ADDRESS PROGRAM [ARGUMENT ...]

Nothing of the program stays behind, whatever it does: it runs in a process namespace of its own (pid_namespaces(7)), whose
first process is ours. The kernel kills all that are left there when that one ends, and it ends with the program, with this
process and so with the lab (PR_SET_PDEATHSIG). SIGTERM is passed on to the program alone, for it to end kindly.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
from typing import NoReturn

from sim.live.packet.namespaces import enter, resolver_lines

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNS, _CLONE_NEWPID = 0x00020000, 0x20000000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_RESOLVER = "/etc/resolv.conf"
_NOT_STARTED = 127  # as shells have it
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    namespace, lab_pid, server_address, *command = sys.argv[1:]
    _die_with_parent()
    if os.getppid() != int(lab_pid):
        return 1  # it ended before we asked to be told
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    enter(namespace)
    own_mounts = _unshared(_CLONE_NEWNS) and not _libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None)
    if own_mounts:
        with contextlib.suppress(OSError):  # without it the program has to be given an address instead of a name
            ask_server_for_names(server_address)
    if not _unshared(_CLONE_NEWPID):
        print(f"no process namespace for {command[0]}: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return _NOT_STARTED
    alive, _kept_open = os.pipe()  # at its end as long as this process lives
    told, tell = os.pipe()
    first = os.fork()
    if not first:
        os.close(_kept_open)
        _first_process(command, alive, tell, own_mounts)
    os.close(tell)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGTERM))
    _, status = os.waitpid(first, 0)
    said = os.read(told, 64)
    return _end_like(int(said) if said else status)


def _first_process(command: list[str], alive: int, tell: int, own_mounts: bool) -> NoReturn:
    """The first process of the namespace, its init: starts the program, waits for it, takes everybody with it."""
    _die_with_parent()
    if select.select([alive], [], [], 0.0)[0]:
        os._exit(1)  # the parent ended before we asked to be told
    if own_mounts:
        _libc.mount(b"proc", b"/proc", b"proc", 0, None)  # so that the program finds itself there
    program: subprocess.Popen[bytes] | None = None
    asked_to_end = False

    def end(*_: object) -> None:
        nonlocal asked_to_end
        asked_to_end = True
        if program is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(program.pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    try:
        program = subprocess.Popen(command)
        if asked_to_end:  # while it was started
            end()
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os.write(tell, b"%d" % (_NOT_STARTED << 8))
        os._exit(0)
    while True:  # those whose parents have gone are ours to wait for, too
        pid, status = os.waitpid(-1, 0)
        if pid == program.pid:
            os.write(tell, b"%d" % status)
            os._exit(0)


def _end_like(status: int) -> int:
    """Exit with the program's code, or die by the signal that it died by."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _unshared(what: int) -> bool:
    return not int(_libc.unshare(what))


def ask_server_for_names(server_address: str) -> None:
    """Let this process alone (and what it becomes) see another /etc/resolv.conf; it needs mounts of its own."""
    if not os.path.exists(_RESOLVER):
        return
    descriptor, path = tempfile.mkstemp(prefix="hl-resolv-")
    try:
        os.write(descriptor, resolver_lines(server_address).encode())
        os.fchmod(descriptor, 0o644)
        if _libc.mount(path.encode(), _RESOLVER.encode(), None, _MS_BIND, None):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
        os.unlink(path)  # what is mounted stays


if __name__ == "__main__":
    raise SystemExit(main())
