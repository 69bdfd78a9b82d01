"""rspamd's controller, told what people take for spam (rspamd.com/doc/developers/protocol.html)."""

import http.client
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from engine.spam.store import Kind

TIME_LIMIT: Final = 10.0
"""Seconds for each step of one request."""

PORT: Final = 11334
"""That of a controller, where the URL has none."""

_PATHS: Final[dict[Kind, str]] = {"spam": "/learnspam", "ham": "/learnham"}


class NotTaken(OSError):
    """It answers, but does not learn this message. With others it may have no trouble."""


class Controller:
    """Where rspamd learns: ``http://127.0.0.1:11334``. A password is read from its file each time."""

    def __init__(self, url: str, password_file: Path | None = None) -> None:
        self._where = urlsplit(url)
        self._password_file = password_file

    def learn(self, octets: bytes, kind: Kind) -> None:
        """Have a message learnt. Blocks. NotTaken, OSError when it was not; that it had been learnt before is none."""
        headers = {}
        if self._password_file is not None:
            headers["Password"] = self._password_file.read_text().partition("\n")[0].strip()
        try:
            with closing(self._connection()) as connection:
                connection.request("POST", _PATHS[kind], octets, headers)
                answer = connection.getresponse()
                said = answer.read(1000).decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise OSError(f"the controller of rspamd answers nonsense: {error!r}") from error
        if answer.status not in range(200, 300):
            raise NotTaken(f"the controller of rspamd answers with status {answer.status}: {said}")

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._where.hostname or "", self._where.port or PORT, timeout=TIME_LIMIT)
