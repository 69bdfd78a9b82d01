"""Finding messages: by what people write into a field, in the mailboxes of one or several, and lists of them."""
