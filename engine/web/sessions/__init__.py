"""Who is signed in: sessions of the pages, and what they may do."""

from engine.web.sessions.requiring import is_ours, require
from engine.web.sessions.session import Session, Sessioned, session_of, signed_in, signed_out

__all__ = ["Session", "Sessioned", "is_ours", "require", "session_of", "signed_in", "signed_out"]
