"""Run as a program with a port: amqtt with an authentication plugin that lets sessions persist.

amqtt's own plugin for anonymous access marks every session as anonymous, and such sessions are deleted when their client
disconnects, whatever its clean session flag says.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session


class AnyUserName(BaseAuthPlugin):  # type: ignore[misc]  # amqtt carries no types
    """Lets in everybody who gives a user name."""

    async def authenticate(self, *, session: Session) -> bool:
        return bool(session.username)


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {f"{__name__}.{AnyUserName.__name__}": {}},
        }
    )
    await broker.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("transitions").setLevel(logging.WARNING)
    asyncio.run(serve(int(sys.argv[1])))
