"""A connection to PostgreSQL, for one thread at a time: it blocks, but never for longer than it may."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from engine.config import Postgresql as Settings
from engine.directory.errors import Unavailable

Row = dict[str, Any]


class _Limited(psycopg.Connection[Row]):
    """Waits for no answer longer than ``limit`` seconds."""

    limit: float

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ARG002
        return super().wait(gen, interval, self.limit)


class PostgresqlConnection:
    """Whatever fails raises Unavailable; then it is of no use any more."""

    def __init__(self, connection: _Limited) -> None:
        self._connection = connection

    @classmethod
    def open(cls, settings: Settings, password: str) -> "PostgresqlConnection":
        given: dict[str, Any] = {"password": password} if password else {}
        try:
            connection = _Limited.connect(
                settings.database,
                autocommit=True,
                prepare_threshold=None,  # what stands between, such as PgBouncer, may not know of prepared statements
                row_factory=dict_row,
                connect_timeout=max(2, round(settings.timeout)),  # libpq knows no shorter one
                options="-c default_transaction_read_only=on",
                application_name="postroad",
                **given,
            )
        except psycopg.Error as error:
            raise Unavailable(f"PostgreSQL: {_said(error)}") from error
        connection.limit = settings.timeout
        return cls(connection)

    def rows(self, query: str, values: Mapping[str, str]) -> list[Row]:
        """What the query finds."""
        try:
            return self._connection.execute(query.encode(), values).fetchall()
        except errors._WaitTimeout as error:
            raise Unavailable(f"PostgreSQL: no answer within {self._connection.limit:g} s") from error
        except psycopg.Error as error:
            raise Unavailable(f"PostgreSQL: {_said(error)}") from error

    def close(self) -> None:
        self._connection.close()


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
