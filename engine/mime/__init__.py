"""What a message says, read from its octets: its parts, its header, its text. No sockets, no store, no exceptions."""
