"""What the workload `mailbox` is made of: the mail, the mailboxes, the clients, and the lines that are measured."""
