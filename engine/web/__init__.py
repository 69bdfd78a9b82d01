"""The web process: what is told by HTTP. It is a process of its own, so that none of it can slow or stop the mail."""
