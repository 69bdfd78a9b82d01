"""The client's side of IMAP (RFC 9051, RFC 3501), as far as taking mail from another server needs it."""
