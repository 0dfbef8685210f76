"""Something between a daemon and PostgreSQL that cuts, holds up and loses what goes through it."""

import asyncio
import shutil
import tempfile
from pathlib import Path

COMMIT = b"COMMIT\0"


class Proxy:
    """Passes on what comes to its unix socket, until a test says otherwise.

    `cut_after(bytes)` cuts a connection in both directions after so many more bytes, counted over all connections. `on_commit`
    is asked what to do with each COMMIT: "pass" it on; "lose" its answer; "drop" it, unsent; or "hold" it: the client's side is
    cut at once, and it is sent when `released` is set.
    """

    def __init__(self, server_socket):
        self.folder = Path(tempfile.mkdtemp(prefix="meterd-px-"))
        self.folder.chmod(0o755)
        self.on_commit = lambda: "pass"
        self.commits = 0
        self.cuts = 0
        self.committed = asyncio.Event()
        self.was_cut = asyncio.Event()
        self.released = asyncio.Event()
        self._server_socket = server_socket
        self._bytes_left = None
        self._links = set()
        self._server = None

    async def __aenter__(self):
        await self.listen()
        return self

    async def __aexit__(self, *_):
        await self.refuse()
        self.released.set()
        while self._links:
            await asyncio.wait([link.task for link in self._links])
        shutil.rmtree(self.folder, ignore_errors=True)

    async def listen(self):
        """Take connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Side(_Link(self)), self.folder / ".s.PGSQL.5432")

    async def refuse(self):
        """Cut every connection and take no more."""
        self._server.close()
        (self.folder / ".s.PGSQL.5432").unlink(missing_ok=True)
        for link in list(self._links):
            link.cut()

    def abandon(self):
        """Cut the connections whose COMMIT is held: it is never sent."""
        for link in list(self._links):
            if link.loses_answers:
                link.cut()

    def cut_after(self, number):
        """Cut a connection after so many more bytes, whichever one carries the last of them."""
        self._bytes_left = number

    def passes(self, data):
        """Return how much of the data is passed on; less than all of it: then cut."""
        if self._bytes_left is None:
            return len(data)
        allowed = min(len(data), self._bytes_left)
        self._bytes_left -= allowed
        if allowed == len(data):
            return allowed
        self._bytes_left = None
        self.cuts += 1
        self.was_cut.set()
        return allowed


class _Link:
    """A client's connection and ours to the server."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.client = self.server = None
        self.task = None
        self.loses_answers = False

    async def run(self, client):
        """Connect to the server, pass on what had come by then, and stay until both sides are gone."""
        self.client = client
        loop = asyncio.get_running_loop()
        try:
            _, self.server = await loop.create_unix_connection(lambda: _Side(self), self.proxy._server_socket)
        except OSError:
            client.transport.abort()
            await client.gone.wait()
            return
        client.is_linked = True
        for data in client.early:
            self.passed(client, data)
        await asyncio.gather(client.gone.wait(), self.server.gone.wait())

    def cut(self):
        """Cut both sides."""
        for side in (self.client, self.server):
            if side:
                side.transport.abort()

    def passed(self, side, data):
        """Pass on what one side sent."""
        if side is self.client and COMMIT in data:
            self.proxy.commits += 1
            self.proxy.committed.set()
            what = self.proxy.on_commit()
            if what == "drop":
                self.cut()
                return
            if what == "hold":
                self.loses_answers = True
                side.transport.abort()
                self.held = asyncio.ensure_future(self._send_when_released(data))
                return
            self.loses_answers = what == "lose"
        elif side is self.server and self.loses_answers:
            self.cut()
            return
        allowed = self.proxy.passes(data)
        other = self.server if side is self.client else self.client
        if other and not other.transport.is_closing():
            other.transport.write(data[:allowed])
        if allowed < len(data):
            # What was let through gets there; then both see the end.
            other.transport.close()
            side.transport.abort()

    async def _send_when_released(self, data):
        await self.proxy.released.wait()
        if not self.server.transport.is_closing():
            self.server.transport.write(data)
            self.server.transport.write_eof()


class _Side(asyncio.Protocol):
    """One end of a link."""

    def __init__(self, link):
        self._link = link
        self.transport = None
        self.gone = asyncio.Event()
        self.early = []
        self.is_linked = False

    def connection_made(self, transport):
        self.transport = transport
        link = self._link
        if link.client is None:
            link.client = self
            link.task = asyncio.ensure_future(link.run(self))
            link.proxy._links.add(link)
            link.task.add_done_callback(lambda _: link.proxy._links.discard(link))
        else:
            link.server = self
            self.is_linked = True

    def data_received(self, data):
        if self.is_linked:
            self._link.passed(self, data)
        else:
            self.early.append(data)

    def connection_lost(self, _error):
        self.gone.set()
        link = self._link
        other = link.server if self is link.client else link.client
        if other and not (self is link.client and link.loses_answers):
            other.transport.close()
