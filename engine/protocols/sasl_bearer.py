"""SASL logins of ours to another server by a token: OAUTHBEARER (RFC 7628) and XOAUTH2."""

from engine.protocols.sasl_client import Password


class Bearer:
    """What both have in common: all is said at once, and a challenge is the error, to which something must be said."""

    is_proven = True
    _over = b""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self._told = False

    def initial(self) -> bytes:
        self._told = True
        return self._said

    def answer(self, challenge: bytes) -> bytes:
        """To an empty challenge, what was not said yet; else what lets the server say no."""
        if not self._told:
            return self.initial()
        return self._over if challenge else self._said


class OAuthBearer(Bearer):
    """OAUTHBEARER."""

    _over = b"\x01"  # RFC 7628 3.2.3

    def __init__(self, who: Password, host: str, port: int) -> None:
        name = who.name.replace("=", "=3D").replace(",", "=2C")
        super().__init__(f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {who.password}\x01\x01".encode())


class XOAuth2(Bearer):
    """XOAUTH2, as Google and Microsoft describe it."""

    def __init__(self, who: Password) -> None:
        super().__init__(f"user={who.name}\x01auth=Bearer {who.password}\x01\x01".encode())
