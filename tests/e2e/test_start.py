"""Starting: what the daemon says, and how it says why it cannot."""

import socket
import sqlite3

import pytest

import meterd as client_package

from .process import meterd


def _complaint(result):
    """Return the one line that a daemon which cannot start leaves behind."""
    (line,) = result.stderr.splitlines()
    assert "" == result.stdout
    assert line.startswith("meterd: ")
    assert "Traceback" not in line
    return line


def _serve(folder, *, db=":memory:", listen="127.0.0.1:0", options=()):
    return meterd(folder, "serve", "--listen", listen, "--db", db, *options)


def test_a_second_daemon_on_one_file(run_daemon, tmp_path):
    """The second daemon exits 5 and names the file and the process that holds it; the first one goes on."""
    daemon = run_daemon()
    result = _serve(tmp_path, db=daemon.db)
    assert 5 == result.returncode
    line = _complaint(result)
    assert str(daemon.db) in line
    assert f"process {daemon.pid}" in line
    with client_package.Client(daemon.address) as client:
        assert 1 == client.record_funding("ada", 5).entry.version


def test_a_file_is_free_after_a_crash(run_daemon):
    """A daemon that was killed does not keep the next one from its file."""
    daemon = run_daemon()
    daemon.end()
    daemon.start()
    assert 0 == daemon.stop()


def test_a_port_in_use(tmp_path):
    """A port that another program listens on is exit 5 and one line with the address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = _serve(tmp_path, listen=f"127.0.0.1:{port}")
    assert 5 == result.returncode
    line = _complaint(result)
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_a_port_of_another_daemon(run_daemon, tmp_path):
    """Two daemons never share a port: the second would get some of the first one's calls."""
    result = _serve(tmp_path, listen=run_daemon().address)
    assert 5 == result.returncode
    assert "in use" in _complaint(result)


def test_a_socket_of_another_daemon(run_daemon, tmp_path):
    """A unix: address that is answered is not taken over."""
    daemon = run_daemon(listen=f"unix:{tmp_path}/s")
    result = _serve(tmp_path, listen=daemon.address)
    assert 5 == result.returncode
    assert daemon.address in _complaint(result)
    with client_package.Client(daemon.address) as client:
        assert 0 == client.get_balance("ada").version


def _folder(path):
    path.mkdir()


def _text(path):
    path.write_text("this is no database\n" * 1000)


def _of_another_application(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def _newer(path):
    assert 0 == meterd(path.parent, "demo", "--db", path).returncode
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1000")
    connection.close()


def _below_a_file(path):
    path.parent.joinpath("file").write_text("")
    path.symlink_to("file/ledger.sqlite3")


UNUSABLE = {
    _folder: "folder",
    _text: "not a database",
    _of_another_application: "another application",
    _newer: "schema version 1000",
    _below_a_file: "cannot be used",
}


@pytest.mark.parametrize("make", UNUSABLE, ids=lambda make: make.__name__.strip("_"))
def test_a_database_that_cannot_be_used(tmp_path, make):
    """A path that holds no database of ours is exit 5, one line that names it, and is left as it was."""
    path = tmp_path / "ledger.sqlite3"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    result = _serve(tmp_path, db=path)
    assert 5 == result.returncode
    line = _complaint(result)
    assert str(path) in line
    assert UNUSABLE[make] in line
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_folder_that_cannot_be_made(tmp_path):
    """A database in a place where no folder can be made is exit 5 and one line."""
    result = _serve(tmp_path, db="/proc/meterd/ledger.sqlite3")
    assert 5 == result.returncode
    assert "/proc/meterd/ledger.sqlite3" in _complaint(result)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "example.invalid:0"])
def test_an_address_that_others_can_reach(tmp_path, listen):
    """Without --insecure the daemon does not listen where other machines can call; that is exit 2."""
    result = _serve(tmp_path, listen=listen)
    assert 2 == result.returncode
    assert "--insecure" in _complaint(result)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_made(run_daemon, tmp_path):
    """The database's folder is made when it is not there."""
    db = tmp_path / "a" / "b" / "ledger.sqlite3"
    assert 0 == run_daemon(db=db).stop()
    assert db.is_file()
