"""Mailboxes in and out: mbox, Maildir and .eml, and the backup of one mailbox while it is in use."""
