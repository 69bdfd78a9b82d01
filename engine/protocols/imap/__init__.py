"""IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051), the server's side: octets in, events out; no sockets and no store.

``server`` is one session. Below it ``reader`` parts lines and literals, ``cursor`` reads tokens, ``table`` has a row a
command, and ``append``, ``mailboxes``, ``messages``, ``search``, ``fetch``, ``notify``, ``rights`` and ``session`` say
what each command means. ``responses`` and ``codes`` write the answers; ``view`` numbers the messages of a session.
"""
