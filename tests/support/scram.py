"""A client's side of SCRAM-SHA-256, written from RFC 5802 3 and not from our own code."""

import base64
import hashlib
import hmac


class Client:
    """One login. ``header`` is the GS2 header, ``binding`` the data of the channel."""

    def __init__(self, login: str, password: str, header: str = "n,,", binding: bytes = b"") -> None:
        self.password = password
        self.header = header
        self.binding = base64.b64encode(header.encode() + binding).decode()
        self.bare = f"n={login},r=clientnonce"
        self.first = (header + self.bare).encode()
        self.signature = b""

    def final(self, server_first: bytes) -> bytes:
        values = dict(part.split("=", 1) for part in server_first.decode().split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(values["s"]), int(values["i"]))
        client = hmac.digest(salted, b"Client Key", "sha256")
        bare = f"c={self.binding},r={values['r']}"
        message = f"{self.bare},{server_first.decode()},{bare}".encode()
        mask = hmac.digest(hashlib.sha256(client).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client, mask, strict=True))
        self.signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()
