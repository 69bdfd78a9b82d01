"""An OpenID Connect issuer that really answers, on loopback."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import RSAKey


class Provider:
    """Discovery, keys and introspection. What it says may be changed at any time."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.asked: list[str] = []
        self.active: dict[str, dict[str, Any]] = {}  # by token
        self.changes: dict[str, Any] = {}  # to the discovery document
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                self.reply(provider.documents.get(self.path))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                allowed = self.headers["Authorization"] == "Basic " + base64.b64encode(b"postroad:s3cret").decode()
                self.reply(provider.active.get(form["token"][0], {"active": False}) if allowed else None)

            def reply(self, document: dict[str, Any] | None) -> None:
                body = json.dumps(document).encode()
                self.send_response(200 if document is not None else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
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
