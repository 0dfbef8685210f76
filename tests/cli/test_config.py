import pytest
from pydantic import ValidationError

from meterd_server import config
from meterd_server.config import ConfigError, Settings, load_settings, settings_warnings


@pytest.fixture(autouse=True)
def config_folder(tmp_path, monkeypatch):
    """Keep this machine's own configuration out of the way."""
    monkeypatch.setattr(config, "user_config_path", lambda name: tmp_path / "config" / name)
    return tmp_path / "config" / "meterd"


@pytest.fixture
def toml(tmp_path):
    """Write a configuration file and return its path."""

    def write(text):
        path = tmp_path / "daemon.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def problem(flags=None, environ=None):
    """Return what is said about settings that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        load_settings(flags or {}, environ or {})
    return str(caught.value)


def test_defaults_are_safe():
    """Without any setting the daemon listens on loopback only and keeps its ledger in the user's data folder."""
    settings = load_settings({}, {})
    assert ("127.0.0.1:50051", False) == (settings.listen, settings.insecure)
    assert settings.db.endswith("meterd.sqlite3")
    assert Settings() == settings


def test_precedence(toml):
    """A flag wins over the environment, that over the file, that over the default."""
    path = toml('max_queued_operations = 1\ncommit_window_ms = 1\nlog_level = "error"')
    environ = {"METERD_MAX_QUEUED_OPERATIONS": "2", "METERD_COMMIT_WINDOW_MS": "2", "METERD_CONFIG": str(path)}
    settings = load_settings({"max_queued_operations": 3, "commit_window_ms": None}, environ)
    assert (3, 2.0, "error", "auto") == (
        settings.max_queued_operations,
        settings.commit_window_ms,
        settings.log_level,
        settings.log_format,
    )


def test_a_bad_value_that_is_overruled_is_not_used():
    """What a stronger source overrules is not complained about."""
    assert "localhost:1" == load_settings({"listen": "localhost:1"}, {"METERD_LISTEN": "abc"}).listen


def test_the_flag_names_the_file_before_the_environment_does(toml):
    """--config wins over METERD_CONFIG."""
    path = toml("max_queued_operations = 7")
    assert 7 == load_settings({"config": path}, {"METERD_CONFIG": "/nowhere"}).max_queued_operations


def test_the_file_in_the_configuration_folder_is_found(config_folder):
    """Without --config the file in the user's configuration folder is read if it is there."""
    config_folder.mkdir(parents=True)
    (config_folder / "meterd.toml").write_text('listen = "unix:/run/meterd.sock"')
    assert "unix:/run/meterd.sock" == load_settings({}, {}).listen


def test_an_empty_variable_is_unset():
    """METERD_LISTEN= (as compose files write it) counts as not set."""
    assert Settings().listen == load_settings({}, {"METERD_LISTEN": "", "METERD_CONFIG": ""}).listen


@pytest.mark.parametrize(
    "listen",
    ["127.0.0.1:0", "127.8.9.1:65535", "localhost:50051", "[::1]:50051", "unix:/run/meterd.sock"],
)
def test_local_addresses_need_no_insecure(listen):
    """What only this machine can reach may speak plaintext."""
    assert listen == load_settings({"listen": listen}, {}).listen


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "[::]:50051", "10.0.0.7:1", "meterd.example:443", "127.1:80"])
def test_other_addresses_need_insecure(listen):
    """Plaintext that other machines can reach has to be asked for by name."""
    assert problem({"listen": listen}).startswith(f"--listen: '{listen}' can be reached by other machines")
    assert "--insecure" in problem({"listen": listen})
    assert listen == load_settings({"listen": listen}, {"METERD_INSECURE": "1"}).listen


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("abc", "'abc' is not HOST:PORT"),
        (":50051", "':50051' is not HOST:PORT"),
        ("localhost:", "'localhost:' is not HOST:PORT"),
        ("localhost:65536", "'localhost:65536' is not HOST:PORT: a port is 0 to 65535"),
        ("localhost:-1", "'localhost:-1' is not HOST:PORT"),
        ("::1:50051", "'::1:50051' is not HOST:PORT"),
        ("[1:2]:50051", "'[1:2]:50051' is not HOST:PORT: '1:2' is not an IPv6 address"),
        ("http://localhost:1", "'http://localhost:1' is not HOST:PORT"),
        ("unix:relative", "'unix:relative' is not unix:/PATH with a path of at most 107 bytes"),
        ("unix:/" + "x" * 107, "is not unix:/PATH with a path of at most 107 bytes"),
    ],
)
def test_a_bad_listen_address_says_why(listen, why):
    """An address that cannot be listened on is refused, naming the setting and its origin."""
    assert problem(environ={"METERD_LISTEN": listen}).startswith("METERD_LISTEN: ")
    assert why in problem(environ={"METERD_LISTEN": listen})


def test_a_postgres_address_is_taken_as_it_is():
    """The address of a PostgreSQL database is passed on unchanged, by either of its names."""
    for url in ("postgresql://meterd:secret@db/meterd", "postgres://db:5433/meterd?schema=other"):
        assert url == load_settings({"db": url}, {}).db


def test_another_database_address_is_refused_without_repeating_it():
    """The address of a database that meterd cannot use may hold a password."""
    text = problem({"db": "mysql://meterd:secret@db/meterd"})
    assert text.startswith("--db: ")
    assert "secret" not in text


def test_the_database_path_may_name_the_home_folder(monkeypatch):
    """A leading ~ is the home folder, since no shell expands it in a file; :memory: stays what it is."""
    monkeypatch.setenv("HOME", "/home/ada")
    assert "/home/ada/m.sqlite3" == load_settings({"db": "~/m.sqlite3"}, {}).db
    assert ":memory:" == load_settings({"db": ":memory:"}, {}).db


@pytest.mark.parametrize("db", ["a\x00b", "a\nb", "postgresql://a\nb"])
def test_a_path_with_control_characters_is_refused(db):
    """Such a path is a mistake, and the file system's own error would not say so."""
    assert problem({"db": db}).startswith("--db: not the path of a file, nor :memory:")


@pytest.mark.parametrize(
    ("key", "bad", "why"),
    [
        ("log_level", "loud", "'loud' should be 'debug', 'info', 'warning' or 'error'"),
        ("log_format", "xml", "'xml' should be 'auto', 'json' or 'console'"),
        ("insecure", "maybe", "'maybe' should be a valid boolean"),
        ("max_message_bytes", "1023", "'1023' should be greater than or equal to 1024"),
        ("max_message_bytes", "67108865", "'67108865' should be less than or equal to 67108864"),
        ("max_accounts_in_memory", "0", "'0' should be greater than or equal to 1"),
        ("db_connections", "1", "'1' should be greater than or equal to 2"),
        ("max_queued_operations", "many", "'many' should be a valid integer"),
        ("commit_window_ms", "101", "'101' should be less than or equal to 100"),
        ("commit_window_ms", "nan", "'nan' should be a finite number"),
        ("shutdown_grace_seconds", "-1", "'-1' should be greater than or equal to 0"),
        ("shutdown_grace_seconds", "inf", "'inf' should be a finite number"),
    ],
)
def test_every_complaint_names_its_origin(toml, key, bad, why):
    """A bad value is traced to the flag, the variable or the line of the file that holds it."""
    path = toml(f'{key} = "{bad}"')
    assert problem({key: bad}).startswith(f"{config.flag(key)}: {why}")
    assert problem(environ={config.variable(key): bad}).startswith(f"{config.variable(key)}: {why}")
    assert problem({"config": path}).startswith(f"{path}:{key}: {why}")


def test_all_problems_are_told_at_once(toml):
    """One run is enough to see everything that is wrong, one line each."""
    path = toml("max_message_bytes = 1")
    text = problem({"listen": "abc", "config": path}, {"METERD_LOG_LEVEL": "loud"})
    origins = ("--listen: ", "METERD_LOG_LEVEL: ", f"{path}:max_message_bytes: ")
    assert all(line.startswith(origin) for line, origin in zip(text.splitlines(), origins, strict=True))


def test_an_unknown_key_in_the_file_is_an_error(toml):
    """A typing error in the file is never ignored, and the nearest setting is proposed."""
    path = toml("max_mesage_bytes = 4096")
    complaint = "there is no setting 'max_mesage_bytes'; did you mean max_message_bytes?"
    assert f"{path}:max_mesage_bytes: {complaint}" == problem({"config": path})


def test_an_unknown_table_in_the_file_is_an_error(toml):
    """The file is flat: a table is an unknown key."""
    assert "there is no setting 'server'" in problem({"config": toml('[server]\nlisten = "localhost:1"')})


def test_a_syntax_error_names_file_and_line(toml):
    """What is not TOML is shown with its place."""
    path = toml("insecure = true\nlisten = oops\n")
    assert problem({"config": path}).startswith(f"{path}: not TOML: ")
    assert "line 2" in problem({"config": path})


def test_a_file_that_is_not_text_is_an_error(toml):
    """A file in another encoding is named, not decoded by guess."""
    path = toml(b'listen = "\xff"')
    assert f"{path}: not TOML: not UTF-8 at byte 10" == problem({"config": path})


@pytest.mark.parametrize("origin", ["--config", "METERD_CONFIG"])
def test_a_file_that_was_asked_for_must_exist(tmp_path, origin):
    """A missing file is an error when it was named, by whichever way."""
    path = str(tmp_path / "none.toml")
    flags, environ = ({"config": path}, {}) if origin == "--config" else ({}, {"METERD_CONFIG": path})
    assert f"{origin}: there is no file '{path}'" == problem(flags, environ)


def test_unknown_variables_are_warnings():
    """Kubernetes sets METERD_ variables of its own for a service named meterd, so they must not stop the daemon."""
    environ = {
        "METERD_LISTN": "x",
        "METERD_SERVICE_HOST": "10.0.0.1",
        "METERD_DB": "x",
        "METERD_ADDRESS": "y",
        "PATH": "z",
    }
    assert [
        "METERD_LISTN: not a setting, ignored; did you mean METERD_LISTEN?",
        "METERD_SERVICE_HOST: not a setting, ignored",
    ] == settings_warnings(environ)
    load_settings({}, environ)


def test_settings_do_not_change():
    """Settings are checked once, so nothing may change them afterwards."""
    with pytest.raises(ValidationError):
        Settings().listen = "localhost:1"


def test_every_setting_is_documented():
    """Each setting has a description: it is the help of its flag."""
    assert [] == [key for key, field in Settings.model_fields.items() if not field.description]
