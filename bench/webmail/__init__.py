"""The webmail measured: a large mailbox in it, and a hundred people in it while mail flows."""
