"""Trio sockets, TLS and DNS."""
