"""IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051), the server's side: octets in, events out; no sockets and no store.

``server`` is one session. Below it ``reader`` parts lines and literals, ``intake`` makes commands of them by the rows
of ``table``, and ``cursor`` reads tokens for the functions that say what each command means: in ``session``,
``mailboxes``, ``append``, ``messages``, ``search``, ``fetch``, ``notify`` and ``rights``. ``responses`` and ``codes``
write the answers; ``view`` numbers the messages of a session.
"""
