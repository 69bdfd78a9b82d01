"""An OpenID Connect issuer that really answers, on loopback."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import RSAKey

BASIC = "Basic " + base64.b64encode(b"postroad:s3cret").decode()


class Provider:
    """Discovery, keys and introspection. What it says may be changed at any time."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.asked: list[str] = []
        self.active: dict[str, dict[str, Any]] = {}  # by token
        self.changes: dict[str, Any] = {}  # to the discovery document
        self.posted: dict[str, Callable[[dict[str, str], str], dict[str, Any] | None]] = {
            "/introspect": self.introspected
        }  # by path: from a form and the field Authorization to an answer
        self.got: dict[str, Callable[[str], dict[str, Any] | None]] = {}  # the same without a form
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                authorized = provider.got.get(self.path)
                shown = self.headers["Authorization"] or ""
                self.reply(authorized(shown) if authorized else provider.documents.get(self.path))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                provider.asked.append(self.path)
                answer = provider.posted[self.path]
                self.reply(answer({name: one[0] for name, one in form.items()}, self.headers["Authorization"] or ""))

            def reply(self, document: dict[str, Any] | None) -> None:
                body = json.dumps(document).encode()
                refused = document is not None and "error" in document
                self.send_response(404 if document is None else 400 if refused else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        discovered = {
            "issuer": self.url, "jwks_uri": f"{self.url}/keys", "introspection_endpoint": f"{self.url}/introspect",
        }  # fmt: skip
        return {
            "/.well-known/openid-configuration": discovered | self.changes,
            "/keys": {"keys": [self.key.as_dict(private=False)]},
        }

    def introspected(self, form: dict[str, str], shown: str) -> dict[str, Any] | None:
        return self.active.get(form["token"], {"active": False}) if shown == BASIC else None

    def token(self, key: Any = None, alg: str = "RS256", **changes: Any) -> str:
        claims = {
            "iss": self.url,
            "aud": "postroad",
            "exp": int(time.time()) + 600,
            "email": "ann@example.org",
        } | changes
        header = {"alg": alg, "kid": (key or self.key).kid}
        return jwt.encode(header, {k: v for k, v in claims.items() if v is not None}, key or self.key, algorithms=[alg])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
