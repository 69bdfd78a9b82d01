"""Scripts, styles and pictures of all parts, each at an address that has a hash in it, so that browsers may keep it."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BASE = "base"
"""What belongs to no part."""

_FOLDER = Path(__file__).parent

_KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class File:
    """One, as it is sent."""

    octets: bytes
    kind: str


class StaticFiles:
    """All of them, in memory: they are few and small. One hash for all, so that modules can import each other."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._files: Mapping[str, File] = dict(_files(folder))
        together = hashlib.sha256()
        for name in sorted(self._files):
            together.update(name.encode() + b"\0" + hashlib.sha256(self._files[name].octets).digest())
        self._hash = together.hexdigest()[:12]

    def address(self, name: str) -> str:
        """Where a file is, by its part and its path: "mail/list.js". KeyError: there is none."""
        if name not in self._files:
            raise KeyError(f"there is no static file {name}")
        return f"/static/{self._hash}/{name}"

    def route(self) -> Route:
        return Route("/static/{hash}/{name:path}", self._answer, methods=["GET"])

    async def _answer(self, request: Request) -> Response:
        file = self._files.get(request.path_params["name"])
        if file is None or request.path_params["hash"] != self._hash:
            raise HTTPException(404)
        headers = {"cache-control": "public, max-age=31536000, immutable", "content-type": file.kind}
        return Response(file.octets, headers=headers)


def _files(folder: Path) -> Iterator[tuple[str, File]]:
    for static in (folder / "static", *sorted(folder.glob("*/static"))):
        part = BASE if static.parent == folder else static.parent.name
        for path in sorted(static.rglob("*")):
            if path.suffix in _KINDS:
                yield f"{part}/{path.relative_to(static).as_posix()}", File(path.read_bytes(), _KINDS[path.suffix])
