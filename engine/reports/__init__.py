"""Reports about the mail of a domain: those that we send to its owner, and those that come to us."""
