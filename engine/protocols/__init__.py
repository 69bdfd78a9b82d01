"""Bytes in, events out: the mail protocols, without sockets."""
