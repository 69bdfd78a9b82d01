"""Certificates by ACME (RFC 8555): asked for, proven, kept in the data folder, and renewed in time."""
