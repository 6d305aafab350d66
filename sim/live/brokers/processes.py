"""Processes that the lab starts: each the head of its own group, ended as a group, ended by the kernel if the lab is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_END_WITHIN_S = 10.0


def program(name: str) -> str | None:
    """Where a program is; Debian keeps servers in folders that are not on every user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def free_ports(number: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now, all different."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass(slots=True)
class Process:
    """A process and what it started; its output is in `log`. The rest is how it was started."""

    process: asyncio.subprocess.Process
    log: Path
    command: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    cwd: Path | None = None

    @property
    def returncode(self) -> int | None:
        return self.process.returncode

    async def stop(self, within_s: float = _END_WITHIN_S) -> None:
        """End the whole group, first kindly."""
        if self.process.returncode is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), within_s)
        # also where the head has ended: what it started may outlive it
        self._signal(signal.SIGKILL)
        await self.process.wait()

    async def kill(self) -> None:
        """End the whole group at once, as a crash does: nothing is saved, and nobody is told but by the kernel."""
        self._signal(signal.SIGKILL)
        await self.process.wait()

    async def again(self) -> None:
        """Start the same command once more, with the same log."""
        self.process = (await start(*self.command, log=self.log, env=self.env, cwd=self.cwd)).process

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


async def start(*command: str, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
    """Start a program in a group of its own, so that Ctrl-C in the terminal reaches the lab alone, which then ends it."""
    setpriv = shutil.which("setpriv")
    words = [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd, start_new_session=True
        )
    return Process(process, log, command, env, cwd)


async def output_of(*command: str, within_s: float = 20.0) -> str:
    """What a short-lived program prints; "" where it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError:
        return ""
    try:
        said, _ = await asyncio.wait_for(process.communicate(), within_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return said.decode(errors="replace")
