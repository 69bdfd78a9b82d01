"""Protocols as octets in and events out; nothing in here waits, and nothing in here knows a socket."""
