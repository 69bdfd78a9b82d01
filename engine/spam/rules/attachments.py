"""Rules about attachments, by their names and first octets. Who wants to refuse types has filters for that."""

import re
from typing import Final

from engine.spam.letter import Attachment
from engine.spam.rules.case import Case, Rule

PROGRAMS: Final = frozenset({
    "exe", "scr", "com", "bat", "cmd", "pif", "js", "jse", "vbs", "vbe", "wsf", "wsh", "hta", "lnk", "ps1", "msi",
    "jar", "cpl", "iso", "img", "vhd", "vhdx", "chm", "reg", "xll", "one", "dll", "ace",
})  # fmt: skip
"""What Windows runs, or opens so that what is in it runs, when somebody clicks on it."""

DOCUMENTS: Final = frozenset({
    "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "rtf", "txt", "jpg", "jpeg", "png", "gif", "zip", "htm", "html",
    "mp3", "mp4", "avi", "csv",
})  # fmt: skip

_HTML = {"htm", "html", "shtml", "xhtml", "svg"}
_ACTIVE = re.compile(rb"(?i)<script|\bonload\s*=|type\s*=\s*[\"']?password|http-equiv\s*=\s*[\"']?refresh|javascript:")
_ZIP = b"PK\x03\x04"
_TURNED = "\u202e\u202d\u2066\u2067"


def _is_program(attachment: Attachment) -> bool:
    if attachment.suffixes[-1:] and attachment.suffixes[-1] in PROGRAMS:
        return True
    return attachment.head.startswith((b"MZ", b"\x7fELF")) and len(attachment.head) > 200


def program(case: Case) -> bool:
    return any(map(_is_program, case.letter.attachments))


def double_suffix(case: Case) -> bool:
    """``bill.pdf.exe``: systems that hide the last suffix show the first."""
    return any(
        len(one.suffixes) == 2 and one.suffixes[0] in DOCUMENTS and one.suffixes[1] in PROGRAMS
        for one in case.letter.attachments
    )


def turned_name(case: Case) -> bool:
    """A name that is shown from right to left in part: ``bill_exe.pdf`` may be a program."""
    return any(one in attachment.name for attachment in case.letter.attachments for one in _TURNED)


def active_page(case: Case) -> bool:
    """An attached page with a script or a field for a password: phishing that no filter of URLs sees."""
    return any(
        (one.media == "text/html" or (one.suffixes[-1:] and one.suffixes[-1] in _HTML)) and _ACTIVE.search(one.head)
        for one in case.letter.attachments
    )


def encrypted_archive(case: Case) -> bool:
    """A zip whose first member is encrypted (APPNOTE 4.4.4, bit 0): scanners cannot look into it."""
    heads = (one.head for one in case.letter.attachments)
    return any(head.startswith(_ZIP) and len(head) > 7 and head[6] & 1 for head in heads)


RULES: Final = (
    Rule("PROGRAM_ATTACHED", 3.5, program),
    Rule("DOUBLE_SUFFIX", 2.0, double_suffix),
    Rule("TURNED_NAME", 3.0, turned_name),
    Rule("ACTIVE_PAGE_ATTACHED", 3.0, active_page),
    Rule("ENCRYPTED_ARCHIVE", 2.0, encrypted_archive),
)
