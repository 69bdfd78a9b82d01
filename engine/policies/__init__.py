"""What other domains publish about TLS to their servers: MTA-STS (RFC 8461) and DANE (RFC 7672)."""
