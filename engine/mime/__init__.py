"""What a message says, read from its octets: its parts, its header, its text. No sockets, no store, no exceptions.

`digest.digest` computes once, at delivery, what a mailbox answers from. The other modules are its parts, and what is
read on demand: `sections` and `transfer` for FETCH, `search` for SEARCH, `sorting` and `threads` for SORT and THREAD.
"""
