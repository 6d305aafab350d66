"""TLS between an asyncio transport and an asyncio protocol, by pyOpenSSL over memory BIOs.

    TCP transport  <->  TLSStream (bytes of TLS)  <->  the inner protocol (application data)

The inner protocol's connection_made comes when the handshake is done, and it is given a transport that passes on write,
close, abort, reading and flow control. TLSStream never awaits; what the opener waits for is `shaken`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from OpenSSL import SSL

from sim.live.tls_context import Contexts, PeerCheck, peer_name, session_secret, was_resumed
from sim.live.tls_transport import TLSTransport
from sim.live.wire import HandshakeFailed

HANDSHAKE_AT_MOST_S = 60.0  # of a server's end; a client's is bounded by who opens it
_CHUNK_BYTES = 65536
#: A record is readable only when all of it has come. What is relayed may begin with a short packet that a long one follows in
#: the same read: the first record fits into a segment, as servers with dynamic record sizes have it.
_FIRST_RECORD_BYTES = 1300


class TLSStream(asyncio.Protocol):
    """One TLS connection, client or server. `inner(peer)` makes the inner protocol once the handshake is done."""

    def __init__(
        self, contexts: Contexts, inner: Callable[[str], asyncio.Protocol], *, client_of: str | None = None,
        resumes: bool = True, accepts_only: str = "",
    ) -> None:  # fmt: skip
        """`client_of`: a client that expects this name of its peer ("": any); else a server.

        `resumes`: whether this client keeps tickets and uses them, where the settings have resumption.
        `accepts_only`: the name a client's certificate must bear for this server, "" for any.
        """
        self._contexts = contexts
        self._is_client = client_of is not None
        self._resumes = self._is_client and resumes and contexts.settings.resumption != "off"
        self._check = PeerCheck(client_of or accepts_only)
        self._make_inner = inner
        self._inner: asyncio.Protocol | None = None
        self._lower: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = self._reading = False
        self._told_eof = self._closing = self._cleanly = False
        self._error: BaseException | None = None
        self.peer = ""
        self.group = ""
        self.resumed = False
        self.bytes_in = self.bytes_out = 0  # of TLS
        #: done when the handshake is (resumed or not); raises OSError where it fails
        self.shaken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.shaken.add_done_callback(_looked_at)
        self._connection: SSL.Connection | None = None
        self._session: SSL.Session | None = None  # of the tickets this client has got
        self._secret = b""

    def _new_connection(self) -> SSL.Connection:
        contexts = self._contexts
        connection = SSL.Connection(contexts.client if self._is_client else contexts.server, None)
        connection.set_app_data(self._check)
        if not self._is_client:
            connection.set_accept_state()
            return connection
        connection.set_connect_state()
        expected = self._check.expected
        if expected and not expected.replace(".", "").isdigit():
            connection.set_tlsext_host_name(expected.encode())
        session = contexts.sessions.get(expected) if self._resumes else None
        if session is not None:
            connection.set_session(session)
        return connection

    # --- what the TCP transport tells -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lower = cast(asyncio.Transport, transport)
        if not self._is_client:
            self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_AT_MOST_S, self._handshake_timed_out)
        self._connection = self._new_connection()
        self._shake()

    def data_received(self, data: bytes) -> None:
        if self._connection is None:
            return
        self.bytes_in += len(data)
        self._connection.bio_write(data)
        if self._inner is None:
            self._shake()
        else:
            self._read()

    def eof_received(self) -> bool:
        if self._inner is None:
            return False  # connection_lost follows
        # FIN without close_notify: what has come is passed on; the protocols above notice a message cut short
        self._read()
        self._eof()
        return not self._closing and self._connection is not None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        self._closing = True
        error = self._error or exc
        self._end_session()
        if not self.shaken.done():
            self.shaken.set_exception(error or ConnectionResetError("the peer closed during the handshake"))
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(cast(Exception | None, error))

    # --- handshake ------------------------------------------------------------------------------------------------------

    def _shake(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return
        except SSL.Error as error:
            self._fail(error)
            return
        self._stop_timer()
        self.peer = peer_name(connection)
        self.group = connection.get_group_name() or ""
        self.resumed = was_resumed(connection)
        self._secret = session_secret(connection)
        self._flush()
        self._inner = self._make_inner(self.peer)
        self._inner.connection_made(TLSTransport(self))
        if not self.shaken.done():
            self.shaken.set_result(self.resumed)
        self._read()

    def _handshake_timed_out(self) -> None:
        self._error = TimeoutError("no handshake")
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, error: SSL.Error) -> None:
        """OpenSSL refuses to go on: its alert is sent, the connection ends."""
        reason = "wrong_peer" if self._check.wrong_peer else "tls_failed"
        self._error = HandshakeFailed(reason, _text(error))
        self._closing = True
        self._flush()
        if not self.shaken.done():
            self.shaken.set_exception(self._error)
        if self._lower is not None:
            self._lower.close()

    # --- application data -----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Hand over what can be decrypted, as long as the inner protocol takes it."""
        if self._reading:
            return  # it is under way further up the stack
        self._reading = True
        try:
            while self._inner is not None and self._connection is not None and not self._paused and not self._closing:
                try:
                    data = self._connection.recv(_CHUNK_BYTES)
                except SSL.WantReadError:
                    break
                except SSL.ZeroReturnError:
                    self._eof()
                    break
                except SSL.Error as error:
                    self._fail(error)
                    break
                self._inner.data_received(data)
        finally:
            self._reading = False
        self._flush()  # an answer of TLS itself, such as to a key update
        self._keep_tickets()

    def _keep_tickets(self) -> None:
        """Each ticket of a server gives the session a new secret (RFC 8446 4.6.1): the sign that there is one."""
        contexts, connection = self._contexts, self._connection
        if not self._resumes or connection is None:
            return
        secret = session_secret(connection)
        if secret and secret != self._secret:
            self._secret, self._session = secret, connection.get_session()
            if self._session is not None:
                contexts.sessions[self._check.expected] = self._session

    def _eof(self) -> None:
        if self._told_eof or self._inner is None:
            return
        self._told_eof = True
        if not self._inner.eof_received():
            self.close()

    def _flush(self) -> None:
        connection = self._connection
        if connection is None or self._lower is None:
            return
        while True:
            try:
                data = connection.bio_read(_CHUNK_BYTES)
            except SSL.WantReadError:
                return
            self.bytes_out += len(data)
            if not self._lower.is_closing():
                self._lower.write(data)

    def write(self, data: Any) -> None:
        if self._closing or self._cleanly or self._connection is None:
            return
        view = memoryview(data).cast("B")
        try:
            if len(view) > _FIRST_RECORD_BYTES:
                view = view[self._connection.send(view[:_FIRST_RECORD_BYTES]) :]
            while view:
                view = view[self._connection.send(view) :]
        except SSL.Error as error:
            self._fail(error)
            return
        self._flush()

    # --- the end --------------------------------------------------------------------------------------------------------

    def write_eof(self) -> None:
        """close_notify; the other direction stays open (RFC 8446 6.1)."""
        if self._connection is not None and not self._cleanly:
            self._cleanly = True
            try:
                self._connection.shutdown()
            except SSL.Error:
                return  # what cannot be said any more
            self._flush()

    def close(self) -> None:
        if self._closing:
            return
        self.write_eof()
        self._closing = True
        if self._lower is not None:
            self._lower.close()

    def abort(self) -> None:
        self._closing = True
        self._end_session()  # now, not when TCP says so: the next connection may be asked for before
        if self._lower is not None:
            self._lower.abort()

    def _end_session(self) -> None:
        """Forget the connection; its session can be resumed where it ended with close_notify or the settings say so.

        OpenSSL takes a connection that is freed without close_notify for one under attack and makes its session
        unusable, in the client's memory and in the server's cache. That is the end of every connection whose address
        changed. Marking it as if close_notify had been sent keeps the session.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        contexts = self._contexts
        if not self._cleanly and contexts.settings.resume_after_death:
            connection.set_shutdown(connection.get_shutdown() | SSL.SENT_SHUTDOWN)
            self._cleanly = True
        if not self._cleanly and self._session is not None and contexts.sessions.get(self._check.expected) is self._session:
            del contexts.sessions[self._check.expected]

    # --- for the inner transport ----------------------------------------------------------------------------------------

    @property
    def lower(self) -> asyncio.Transport:
        assert self._lower is not None
        return self._lower

    @property
    def closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True
        self.lower.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self.lower.resume_reading()
            # what was decrypted no further than the inner protocol wanted
            asyncio.get_running_loop().call_soon(self._read)


def _looked_at(future: asyncio.Future[bool]) -> None:
    """An acceptor's failed handshake concerns nobody; asyncio would complain that it was never looked at."""
    if not future.cancelled():
        future.exception()


def _text(error: SSL.Error) -> str:
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(str(reason[-1]) for reason in reasons) or type(error).__name__
