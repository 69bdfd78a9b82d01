"""The certificates that a server has shown in the handshake, whether or not they were verified."""

import ssl

import trio


def shown(stream: "trio.SSLStream[trio.SocketStream]") -> tuple[bytes, ...]:
    """Its own certificate first, in DER, then those that it has shown with it, in its order."""
    connection = stream._ssl_object
    if hasattr(connection, "get_unverified_chain"):  # Python 3.13
        return tuple(connection.get_unverified_chain() or ())
    # Before, ssl.SSLObject hides what the object within it has had since 3.10.
    chain = connection._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
    return tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in chain)
