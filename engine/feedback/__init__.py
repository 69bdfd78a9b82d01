"""Complaints about mail of ours, as providers send them: ARF (RFC 5965, RFC 6650), and what came before or beside it.

Octets in, values out. What comes in may be by anyone: it is bounded, and nothing of it is believed here.
"""

from engine.feedback.complaint import Form, Report, is_redacted
from engine.feedback.reading import read

__all__ = ["Form", "Report", "is_redacted", "read"]
