"""What processes can be asked for by others, and where; light to import, for commands too."""

REMOVE = "mailbox.remove"
"""The request by which a reader's server asks the mailboxes' owner to remove messages."""

CHANGE = "mailbox.change"
"""The request by which other processes ask the mailboxes' owner for any change; arguments and answer are octets."""

CHANGE_DIRECTLY = "mailbox.change directly"
"""Where the mailboxes' owner answers the readers' servers, which wait for each answer (``links.direct``)."""

REBUILD = "index.rebuild"
"""The request to throw away what is derived from the mail of an account, or of all, and to build it anew."""

NEWS = "mailbox.news"
"""Where the mailboxes' owner says after each commit what has changed."""

QUEUE_SERVICE = "queue"
"""Where the owner of a shard answers what an operator asks of it."""

MEASURES_SERVICE = "measures"
"""Where every worker says what it measures (``measures``), what is meant by that (``families``), and ``sites``."""

SUBMIT_SERVICE = "submit"
"""Where a worker that serves submission takes mail from other processes of ours (``submit``)."""

CERTIFICATES_SERVICE = "certificates"
"""Where the process that gets certificates by ACME says how that goes (``standings``), and hurries (``renew``)."""

PAGES_SERVICE = "pages"
"""Where the first web process answers requests that came to another one, about what it alone has (``answer``)."""

WATCH_SERVICE = "watch"
"""Where every worker lets its links be tapped (``tap``, ``untap``), and says which process it is (``process``)."""
