"""An address of this or another machine with a port, as people write them."""


def endpoint(host: str, port: int) -> str:
    """``127.0.0.1:25``, ``[::1]:25`` (RFC 3986 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
