"""Whether a TCP address can be had, and having it before anyone listens there."""

from __future__ import annotations

import socket
from typing import NamedTuple

from meterd_server.errors import StartupError


class Reserved(NamedTuple):
    """An address that is ours while the sockets are open: processes that we tell may listen on it, and nobody else."""

    address: str
    sockets: tuple[socket.socket, ...]

    def release(self) -> None:
        """Let go of it."""
        for holder in self.sockets:
            holder.close()


def check_free(address: str) -> None:
    """Raise `StartupError` with the system's own words when none of the addresses that HOST:PORT stands for can be had."""
    host, port = _split(address)
    problem = ""
    try:
        for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                with socket.socket(family, kind, protocol) as probe:
                    # As gRPC does: connections of a server that has just ended do not keep its port.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(place)
                    # Only now does the system look at addresses that are reserved and not listened on yet.
                    probe.listen()
            except OSError as error:
                problem = problem or _words(error)
            else:
                return
    except OSError as error:
        problem = _words(error)
    if problem:
        raise _cannot_listen(address, problem)


def reserve(address: str) -> Reserved:
    """Take HOST:PORT, port 0 for a free one, for processes with SO_REUSEPORT to listen on. Raises `StartupError`."""
    check_free(address)
    host, port = _split(address)
    sockets: list[socket.socket] = []
    problem = ""
    for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        holder = socket.socket(family, kind, protocol)
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((place[0], port, *place[2:]))
            # From here on it keeps everyone out who does not share the port on purpose, also before a worker listens.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError as error:
            holder.close()
            problem = problem or _words(error)
            continue
        sockets.append(holder)
        port = holder.getsockname()[1]
    if not sockets:
        raise _cannot_listen(address, problem)
    return Reserved(f"{address.rpartition(':')[0]}:{port}", tuple(sockets))


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _cannot_listen(address: str, problem: str) -> StartupError:
    return StartupError(
        f"cannot listen on {address}: {problem}; give --listen another address, or port 0 for a free one"
    )
