"""An address that is reserved is shared by those who are told of it, and had by nobody else."""

import socket
from contextlib import ExitStack

import pytest

from meterd_server.addresses import check_free, reserve
from meterd_server.errors import StartupError


@pytest.fixture
def reserved():
    """Reserve a free port on this machine."""
    reserved = reserve("127.0.0.1:0")
    yield reserved
    reserved.release()


def _listen(address, *options):
    host, _, port = address.rpartition(":")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        for option in options:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((host, int(port)))
        listener.listen()
        stack.pop_all()
        return listener


def test_a_free_port(reserved):
    """Port 0 becomes a concrete one."""
    host, _, port = reserved.address.rpartition(":")
    assert ("127.0.0.1", True) == (host, int(port) > 0)


def test_many_may_listen(reserved):
    """As many as say that they share may listen, as gRPC does with its own options."""
    options = socket.SO_REUSEADDR, socket.SO_REUSEPORT
    with _listen(reserved.address, *options), _listen(reserved.address, *options):
        pass


@pytest.mark.parametrize("listeners", [0, 1])
def test_nobody_else_may(reserved, listeners):
    """Nobody else may have it, before a worker listens and after."""
    options = socket.SO_REUSEADDR, socket.SO_REUSEPORT
    workers = [_listen(reserved.address, *options) for _ in range(listeners)]
    with pytest.raises(OSError, match="in use"):
        _listen(reserved.address, socket.SO_REUSEADDR)
    for take in (check_free, reserve):
        with pytest.raises(StartupError, match="in use"):
            take(reserved.address)
    for worker in workers:
        worker.close()


def test_connections_of_the_past(reserved):
    """A port whose last server has just closed its connections can be reserved."""
    address = reserved.address
    with _listen(address, socket.SO_REUSEADDR, socket.SO_REUSEPORT) as listener:
        caller = socket.create_connection(listener.getsockname())
        answering, _ = listener.accept()
        answering.close()  # who closes first keeps the port waiting
        caller.close()
    reserved.release()
    again = reserve(address)
    assert address == again.address
    again.release()


def test_a_name(reserved):
    """The name localhost is reserved with every address it stands for, all on one port."""
    named = reserve("localhost:0")
    ports = {holder.getsockname()[1] for holder in named.sockets}
    assert {int(named.address.rpartition(":")[2])} == ports
    named.release()


def test_a_name_of_nothing():
    """A name that stands for nothing is told in the system's words."""
    with pytest.raises(StartupError, match=r"cannot listen on no\.such\.host\.invalid:0: "):
        reserve("no.such.host.invalid:0")
