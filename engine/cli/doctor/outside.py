"""Whether what stages ask answers: scanners, milters, shared stores; and the providers at which people sign in."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from engine.cli.doctor import providers
from engine.cli.doctor.finding import Finding, Patient, good, problem
from engine.scanning.milter_connections import where
from engine.scanning.where import Where

_SECONDS = 5.0
_KEYS = ("connect", "url", "socket")
"""What settings call a place that is connected to."""


def look(patient: Patient) -> Iterator[Finding]:
    for what, place in _places(patient):
        try:
            _connect(place)
        except OSError as error:
            yield problem(
                f"{what}: {place} does not answer: {error.strerror or error}",
                "mail that it should be asked about is put off, or goes on without, as `on_error` says",
                "start it; the server's user must be able to use its socket",
            )
        else:
            yield good(f"{what}: {place} answers")
    yield from providers.look(patient)


def _places(patient: Patient) -> Iterator[tuple[str, Where]]:
    for name, stage in patient.config.stages.items():
        for key, value in stage.settings.items():
            if key in _KEYS and isinstance(value, str):
                yield f"[stage.{name}]", _place(value)
            for inner in _KEYS:
                if isinstance(text := getattr(value, inner, None), str) and text:
                    yield f"[stage.{name}] {key}", _place(text)
    if patient.config.shared is not None:
        host, port, _, _ = patient.config.shared.place
        yield "[shared]", Where(host=host, port=port)


def _place(text: str) -> Where:
    """Of a URL, or of what scanners and milters are called by. ValueError is not to be: the file was checked."""
    if text.startswith(("http://", "https://")):
        parts = urlsplit(text)
        return Where(host=parts.hostname or "", port=parts.port or (443 if parts.scheme == "https" else 80))
    return where(text.replace("unix:///", "unix:/", 1))


def _connect(place: Where) -> None:
    if not place.path:
        socket.create_connection((place.host, place.port), _SECONDS).close()
        return
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_SECONDS)
        sock.connect(place.path)
