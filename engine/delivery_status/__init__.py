"""Reports on delivery as other servers send them, read: RFC 3464, RFC 6533, and what was there before.

Octets in, values out. What comes in may be by anyone: it is bounded, and nothing of it is believed here.
"""

from engine.delivery_status.notice import Form, Notice, Status
from engine.delivery_status.reading import read

__all__ = ["Form", "Notice", "Status", "read"]
