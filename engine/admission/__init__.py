"""What can be told of a client before its mail is let in, from its address and the names that it gives."""
