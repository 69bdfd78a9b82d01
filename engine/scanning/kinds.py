"""What kind of file it is: by its first octets, and by its name."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

HEAD = 33 * 1024
"""Octets that are looked at from the first on: the mark of a CD image stands at 32 KiB."""

KINDS = (
    "executable", "script", "shortcut", "disk-image", "help", "onenote", "office", "macros", "pdf", "pdf-javascript",
    "rtf", "html", "archive", "encrypted", "unreadable", "bomb", "double-extension", "hidden-name",
)  # fmt: skip
"""All kinds that a file may be of; it may be of several at once."""

ZIP, GZIP, BZIP2, XZ, TAR, OLE, PDF, MAIL = "zip", "gzip", "bzip2", "xz", "tar", "ole", "pdf", "mail"
FLAT = "flat"  # a document of Office as XML, of 2003
"""Formats that are looked into."""

CLOSED = "closed"
"""A format that holds files and that nobody here can open."""

CONTAINERS = {ZIP, GZIP, BZIP2, XZ, TAR, MAIL}


class Mark(NamedTuple):
    """Octets by which a format is known."""

    octets: bytes
    place: int
    kinds: tuple[str, ...]
    format: str = ""


_MARKS = (
    Mark(b"MZ", 0, ("executable",)),
    Mark(b"\x7fELF", 0, ("executable",)),
    *(Mark(bytes.fromhex(magic), 0, ("executable",)) for magic in ("feedface", "feedfacf", "cefaedfe", "cffaedfe")),
    Mark(b"\xca\xfe\xba\xbe", 0, ("executable",)),  # Mach-O for several processors, and classes of Java
    Mark(b"dex\n", 0, ("executable",)),
    Mark(b"#!", 0, ("script",)),
    Mark(b"#@~^", 0, ("script",)),  # encoded JScript and VBScript
    Mark(b"L\0\0\0\x01\x14\x02\0", 0, ("shortcut",)),
    Mark(b"ITSF", 0, ("help",)),
    Mark(bytes.fromhex("e4525c7b8cd8a74d"), 0, ("onenote",)),
    Mark(b"conectix", 0, ("disk-image",)),
    Mark(b"vhdxfile", 0, ("disk-image",)),
    Mark(b"CD001", 32769, ("disk-image",)),
    Mark(b"BEA01", 32769, ("disk-image",)),  # UDF
    Mark(b"KDMV", 0, ("disk-image",)),
    Mark(b"{\\rt", 0, ("rtf",)),  # what Word takes for RTF
    Mark(b"PK\x03\x04", 0, ("archive",), ZIP),
    Mark(b"PK\x05\x06", 0, ("archive",), ZIP),
    Mark(b"PK00PK\x03\x04", 0, ("archive",), ZIP),
    Mark(b"\x1f\x8b", 0, ("archive",), GZIP),
    Mark(b"BZh", 0, ("archive",), BZIP2),
    Mark(b"\xfd7zXZ\0", 0, ("archive",), XZ),
    Mark(b"]\0\0", 0, ("archive",), XZ),  # .lzma
    Mark(b"ustar", 257, ("archive",), TAR),
    Mark(b"7z\xbc\xaf\x27\x1c", 0, ("archive",), CLOSED),
    Mark(b"Rar!\x1a\x07", 0, ("archive",), CLOSED),
    Mark(b"MSCF", 0, ("archive",), CLOSED),
    Mark(b"**ACE**", 7, ("archive",), CLOSED),
    Mark(b"\x60\xea", 0, ("archive",), CLOSED),  # ARJ
    Mark(b"-lh", 2, ("archive",), CLOSED),
    Mark(b"\x28\xb5\x2f\xfd", 0, ("archive",), CLOSED),  # Zstandard
    Mark(b"\x1f\x9d", 0, ("archive",), CLOSED),  # compress
    Mark(b"xar!", 0, ("archive",), CLOSED),
    Mark(b"\x78\x9f\x3e\x22", 0, ("archive",), CLOSED),  # TNEF, winmail.dat
    Mark(b"ActiveMime", 0, ("macros",)),  # a part of a document that was stored as MHTML
    Mark(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, (), OLE),
)

_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?>(?:(?:<!--.*?-->|<\?xml[^>]*+>)\s*+)*)<(?:!doctype html|html|head|body|script|svg)",
    re.IGNORECASE | re.DOTALL,
)
_MAIL = re.compile(
    rb"(?:From [^\n]*+\n)?(?>[!-9;-~]++[ \t]*+:[^\n]*+\n(?>(?:[ \t][^\n]*+\n)*)){0,30}?"
    rb"(?:Return-Path|Received|From|To|Subject|Date|Message-ID|MIME-Version|Content-Type|DKIM-Signature)[ \t]*+:",
    re.IGNORECASE,
)
"""A field that every letter has stands among the first: which one is the first, each program decides for itself."""
_ELSEWHERE = 1024
"""Octets within which a PDF may begin (Acrobat takes it), and HTML is looked for."""

_ENDINGS: dict[str, str] = {
    "executable": """exe scr com pif cpl dll ocx sys drv efi msi msix msixbundle msp mst appx appxbundle appinstaller
        jar apk app deb rpm dmg pkg gadget xll vxd xbap ex_""",
    "script": """js jse mjs vbs vbe vb ws wsf wsc wsh sct hta bat cmd ps1 ps1xml ps2 psc1 psd1 psm1 sh bash csh ksh py
        pyw pyz pl rb php ahk au3 reg inf scf diagcab settingcontent-ms msc application jnlp diagcfg
        diagpkg ins isp nsh shb shs""",
    "shortcut": "lnk url website desktop library-ms search-ms",
    "disk-image": "iso img vhd vhdx vmdk udf nrg wim",
    "help": "chm hlp",
    "onenote": "one onepkg",
    "macros": "docm dotm xlsm xltm xlam xlsb pptm potm ppam ppsm sldm slk iqy ade adp mde accde",
    "office": "doc dot docx dotx xls xlt xlsx xltx ppt pot pps pptx potx ppsx odt ods odp",
    "html": "html htm xhtml shtml xht mht mhtml svg",
    "pdf": "pdf",
    "rtf": "rtf",
    "archive": "zip zipx gz tgz bz2 tbz tbz2 xz txz lzma tar 7z rar cab ace arj lzh lha z zst",
}
_BY_ENDING = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}
_DANGEROUS = {"executable", "script", "shortcut", "disk-image", "help"}
_HARMLESS = {
    "doc", "docx", "xls", "xlsx", "ppt", "pptx", "pdf", "txt", "rtf", "odt", "ods", "jpg", "jpeg", "png", "gif", "tif",
    "tiff", "bmp", "csv", "xml", "mp3", "mp4", "avi", "html", "htm", "zip", "eml",
}  # fmt: skip
_UNSEEN = re.compile(r"[\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff\x00-\x08\x0e-\x1f]")
"""What turns the direction of writing, has no width or is a control."""
_FAR = re.compile(r"\s{5}\s*+\.\s*+\w++\s*+\Z")
"""Many blanks before the ending, so that it is out of sight."""


def by_content(head: bytes) -> tuple[set[str], str]:
    """The kinds that the first octets show, at most HEAD of them, and the format if it is one to look into."""
    kinds: set[str] = set()
    form = ""
    for mark in _MARKS:
        if head.startswith(mark.octets, mark.place):
            kinds.update(mark.kinds)
            form = form or mark.format
    if b"%PDF-" in head[:_ELSEWHERE]:
        kinds.add("pdf")
        form = form or PDF
    if b"<?mso-application" in head[:_ELSEWHERE]:
        kinds.add("office")
        form = form or FLAT
    if _HTML.match(head, 0, _ELSEWHERE):
        kinds.add("html")
    if not form and _MAIL.match(head):
        form = MAIL
    return kinds, form


def by_name(name: str) -> set[str]:
    """The kinds that a name shows: by its ending, and by how it hides that."""
    kinds = set()
    if _UNSEEN.search(name) or _FAR.search(name):
        kinds.add("hidden-name")
    plain = _UNSEEN.sub("", name).lower().replace("\\", "/").rpartition("/")[2].rstrip(". \t")  # as Windows takes it
    pieces = [piece.strip() for piece in plain.split(".")]
    kind = _BY_ENDING.get(pieces[-1]) if len(pieces) > 1 else None
    if kind:
        kinds.add(kind)
        if kind in _DANGEROUS and len(pieces) > 2 and pieces[-2] in _HARMLESS:
            kinds.add("double-extension")
    return kinds


def opened_by_name(name: str, form: str) -> str:
    """The format by which a file is opened: that which its first octets show, or that of its name where programs go by
    it. A letter may begin with any field, and a zip with anything, since its directory stands at its end."""
    ending = name.lower().rstrip(". \t").rpartition(".")[2]
    if ending in {"zip", "zipx"} and form not in CONTAINERS and form != CLOSED:
        return ZIP
    return MAIL if ending in {"eml", "mht", "mhtml"} and not form else form


MARKS: dict[str, dict[bytes, str]] = {
    # Names in the directory of a compound file (MS-CFB 2.6.1): of a project in VBA, and of what is encrypted.
    OLE: {
        "_VBA_PROJECT".encode("utf-16-le"): "macros",
        "EncryptedPackage".encode("utf-16-le"): "encrypted",
        "WordDocument".encode("utf-16-le"): "office",
        "Workbook".encode("utf-16-le"): "office",
        "PowerPoint Document".encode("utf-16-le"): "office",
    },
    FLAT: {b"QWN0aXZlTWltZ": "macros"},  # "ActiveMime" in base64
    PDF: {b"/JavaScript": "pdf-javascript", b"/JS ": "pdf-javascript", b"/JS(": "pdf-javascript"},
}
"""Octets anywhere in a file of that format, and what they show."""


def searched(chunks: Iterable[bytes], marks: Mapping[bytes, str]) -> set[str]:
    """The kinds whose marks are somewhere in the octets."""
    longest = max(map(len, marks)) - 1
    found: set[str] = set()
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        found |= {kind for mark, kind in marks.items() if kind not in found and mark in data}
        rest = data[-longest:]
    return found


def of_zip(names: Iterable[str]) -> set[str]:
    """What the names of files in a zip show: a document of Office (ECMA-376) or OpenDocument, and its macros."""
    small = {name.lower() for name in names}
    found = set()
    if "[content_types].xml" in small or {"mimetype", "content.xml"} <= small:
        found.add("office")
        if any(
            name.endswith("vbaproject.bin") or "/macrosheets/" in name or name.startswith("basic/") for name in small
        ):
            found.add("macros")
    return found
