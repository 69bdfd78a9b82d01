"""What files are, and what is in them: real archives, damaged ones, and those that mean harm."""

import bz2
import contextlib
import gzip
import io
import lzma
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime.structure import structure
from engine.mime.transfer import is_known
from engine.scanning import kinds, macros, parts, tars, zips
from engine.scanning.attached import Examination, File, Limits, shown
from engine.scanning.unpacking import Flaw
from tests.support.programs import needs

EXE, TEXT, PDF = b"MZ\x90\0" + bytes(200), b"hello\n", b"%PDF-1.7\n1 0 obj\n"
FEW = Limits(size=20_000_000, files=50)


def look(name: str, octets: bytes, limits: Limits = FEW, piece: int = 64 * 1024) -> dict[str, set[str]]:
    """Path → kinds."""
    chunks = (octets[start : start + piece] for start in range(0, len(octets), piece))
    found: dict[str, set[str]] = {}
    for file in Examination(limits).of(name, chunks):
        found.setdefault("/".join(file.path), set()).update(file.kinds)
    return found


def zipped(method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, octets in files.items():
            archive.writestr(name.replace("_", "."), octets)
    return made.getvalue()


def tarred(form: int = tarfile.PAX_FORMAT, mode: str = "w", **files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, octets in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(octets)
            archive.addfile(member, io.BytesIO(octets))
    return made.getvalue()


# -- kinds


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (EXE, "executable"),
        (b"\x7fELF\2", "executable"),
        (bytes.fromhex("cafebabe00000034"), "executable"),
        (b"#!/bin/sh\n", "script"),
        (b"L\0\0\0\x01\x14\x02\0\0", "shortcut"),
        (b"ITSF\3", "help"),
        (bytes(32769) + b"CD001", "disk-image"),
        (b"{\\rtf1", "rtf"),
        (b"\n\n%PDF-1.4", "pdf"),
        (b"<!DOCTYPE HTML>", "html"),
        (b"\xef\xbb\xbf <!-- x --> <script>", "html"),
        (b'<?xml version="1.0"?>\n<svg>', "html"),
        (b"7z\xbc\xaf\x27\x1c\0", "archive"),
        (b"Rar!\x1a\x07\1", "archive"),
    ],
)
def test_the_first_octets_tell(head: bytes, kind: str) -> None:
    assert kinds.by_content(head)[0] == {kind}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.exe", {"executable"}),
        ("A.EXE. ", {"executable"}),
        ("C:\\x\\a.ScR", {"executable"}),
        ("a.js", {"script"}),
        ("invoice.pdf.exe", {"executable", "double-extension"}),
        ("invoice.pdf . vbs", {"script", "double-extension"}),
        ("report.tar.gz", {"archive"}),
        ("my.holiday.jpg", set()),
        ("setup.v2.exe", {"executable"}),
        ("invoice\u202efdp.exe", {"executable", "hidden-name"}),
        ("a.p\u200bdf", {"hidden-name", "pdf"}),
        ("invoice.pdf" + " " * 40 + ".exe", {"executable", "double-extension", "hidden-name"}),
        ("a.docm", {"macros"}),
        ("a.docx", {"office"}),
        ("a.mde", {"macros"}),
        ("a.SHS", {"script"}),
        ("exe", set()),
        ("", set()),
    ],
)
def test_the_name_tells(name: str, found: set[str]) -> None:
    assert kinds.by_name(name) == found


def test_what_tells_of_a_file_is_one_of_the_kinds() -> None:
    told = {kind for mark in kinds._MARKS for kind in mark.kinds} | set(kinds._ENDINGS)
    told |= {kind for marks in kinds.MARKS.values() for kind in marks.values()} | kinds._DANGEROUS
    assert told <= set(kinds.KINDS)


def test_names_are_shown_so_that_people_can_read_them() -> None:
    assert shown("a\u202eb\r\n" + "x" * 500) == "a?b??" + "x" * 115
    assert str(File(("a.zip", "b.exe"), frozenset())) == "b.exe in a.zip"


# -- archives


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["stored", "deflate", "bzip2", "lzma"],
)
@pytest.mark.parametrize("piece", [7, 100_000])
def test_a_zip_is_opened(method: int, piece: int) -> None:
    octets = zipped(method, a_txt=TEXT, b_bin=EXE * 1000)
    found = look("x.zip", octets, piece=piece)
    assert found == {"x.zip": {"archive"}, "x.zip/a.txt": set(), "x.zip/b.bin": {"executable"}}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_opened(form: int, mode: str) -> None:
    octets = tarred(form, mode, a_txt=TEXT * 1000, empty=b"", b_bin=EXE)
    ending = mode[2:]
    found = look(f"x.tar.{ending}" if ending else "x.tar", octets, piece=1000)
    outside = f"x.tar.{ending}/x.tar" if ending else "x.tar"
    assert found[f"{outside}/b.bin"] == {"executable"}
    assert found[outside] == {"archive"}
    assert f"{outside}/empty" in found


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_a_tar_are_whole(form: int) -> None:
    name = "d/" * 100 + "ü.exe"
    assert [one.name for one in tars.members(iter([tarred(form, **{name: TEXT})]))] == [name]


def test_sparse_files_links_and_folders_in_a_tar_are_passed(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1_000_000)
        file.seek(500_000)
        file.write(b"x" * 10)
    (tmp_path / "b.bin").write_bytes(EXE)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("b.bin")
    made = subprocess.run(
        ["tar", "-C", tmp_path, "-cS", "sparse", "folder", "link", "b.bin"], capture_output=True, check=True
    )
    assert look("x.tar", made.stdout)["x.tar/b.bin"] == {"executable"}


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, lambda o: lzma.compress(o, lzma.FORMAT_ALONE)]
)
def test_a_packed_file_is_opened_also_in_several_pieces(pack) -> None:
    for octets in (pack(EXE), pack(b"") + pack(EXE) if pack(b"")[:1] != b"]" else pack(EXE), pack(EXE) + b"\0" * 8):
        for piece in (1, 100_000):
            assert {"executable"} in look("x", octets, piece=piece).values()


def test_nested_archives_are_opened_to_a_depth() -> None:
    octets = EXE
    for _ in range(5):
        octets = zipped(inner_zip=octets)
    found = look("x.zip", octets)
    assert found["x.zip" + "/inner.zip" * 5] == {"executable", "archive", "unreadable"}  # by its name
    assert "bomb" not in set().union(*found.values())
    assert "bomb" in look("x.zip", zipped(inner_zip=octets))["x.zip"]


def test_a_mail_in_a_mail_is_opened() -> None:
    fields = b"Subject: x\r\nContent-Type: application/x; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n"
    inside = fields + b"\r\nTVqQAA=="
    assert look("x.eml", inside)["x.eml/a.bin"] == {"executable"}
    assert look("x.zip", zipped(y_eml=inside))["x.zip/y.eml/a.bin"] == {"executable"}


@pytest.mark.parametrize(
    "first",
    ["Delivered-To: a@b.test", "X-Mozilla-Status: 0001", "ARC-Seal: i=1;\r\n a=rsa", "From a@b.test Sun Nov 29 2026"],
)
def test_a_mail_is_known_whatever_field_it_begins_with(first: str) -> None:
    """As other servers and programs write it: only its own header fields, and no name, tell what it is."""
    fields = f"{first}\r\nX-More: x\r\nContent-Type: application/x; name=a.bin\r\n"
    inside = f"{fields}Content-Transfer-Encoding: base64\r\n\r\nTVqQAA==".encode()
    assert look("x", inside)["x/a.bin"] == {"executable"}


def test_a_mail_is_known_by_its_name() -> None:
    inside = b"X-Strange: 1\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nx"
    assert look("x.EML", inside)["x.EML/a.exe"] == {"executable"}
    assert look("x.dat", inside) == {"x.dat": set()}


@pytest.mark.parametrize("front", [b"PK00", b"x", b"\xff\xd8\xff\xe0" + bytes(70_000), PDF, b"<html>"])
def test_something_may_stand_in_front_of_a_zip(front: bytes) -> None:
    octets = front + zipped(b_bin=EXE)
    assert look("x.zip", octets)["x.zip/b.bin"] == {"executable"}


def test_a_name_makes_no_zip() -> None:
    assert look("x.zip", b"<html>not found") == {"x.zip": {"archive", "html", "unreadable"}}


@pytest.mark.parametrize("said", [0, 1])
def test_a_zip_has_the_files_of_its_directory_whatever_their_number_is_said_to_be(said: int) -> None:
    octets = zipped(a_txt=TEXT, b_bin=EXE)
    end = octets.rindex(b"PK\x05\x06")
    fields = list(struct.unpack("<4s4H2LH", octets[end:]))
    fields[3] = fields[4] = said
    found = look("x.zip", octets[:end] + struct.pack("<4s4H2LH", *fields))
    assert found["x.zip/b.bin"] == {"executable"}
    fields[3] = fields[4] = 3
    assert "unreadable" in look("x.zip", octets[:end] + struct.pack("<4s4H2LH", *fields))["x.zip"]


def test_more_files_than_a_zip_says_are_counted() -> None:
    octets = zipped(**{f"f{number}": b"" for number in range(51)})
    end = octets.rindex(b"PK\x05\x06")
    fields = list(struct.unpack("<4s4H2LH", octets[end:]))
    fields[3] = fields[4] = 1
    assert "bomb" in look("x.zip", octets[:end] + struct.pack("<4s4H2LH", *fields))["x.zip"]


def test_a_zip_with_wide_numbers_is_opened() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, archive.open("b.bin", "w", force_zip64=True) as file:
        file.write(EXE)
    assert look("x.zip", made.getvalue())["x.zip/b.bin"] == {"executable"}


def test_both_names_of_a_file_count() -> None:
    octets = zipped(a_txt=TEXT)
    other = octets.replace(b"a.txt", b"a.exe", 1)  # in front of the file, not in the directory
    assert {"executable"} in look("x.zip", other).values()


@needs("7z")
@pytest.mark.parametrize("how", [["-tzip"], ["-tzip", "-mem=AES256"]])
def test_an_encrypted_zip_is_told(tmp_path: Path, how: list[str]) -> None:
    (tmp_path / "a.exe").write_bytes(EXE)
    subprocess.run(["7z", "a", *how, "-psecret", "x.zip", "a.exe"], cwd=tmp_path, check=True, capture_output=True)
    found = look("x.zip", (tmp_path / "x.zip").read_bytes())
    assert found["x.zip"] == {"archive", "encrypted"}
    assert found["x.zip/a.exe"] == {"executable"}  # by its name


@needs("7z")
@pytest.mark.parametrize("kind", ["7z", "wim"])
def test_what_is_not_opened_here_is_told(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.exe").write_bytes(EXE)
    subprocess.run(["7z", "a", f"x.{kind}", "a.exe"], cwd=tmp_path, check=True, capture_output=True)
    found = look(f"x.{kind}", (tmp_path / f"x.{kind}").read_bytes())
    assert found[f"x.{kind}"] >= ({"unreadable"} if kind == "7z" else {"disk-image"})


# -- documents


def test_macros_in_documents_are_told() -> None:
    types, code = {"[Content_Types].xml": b"<Types/>"}, {"word/vbaProject.bin": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, octets in types.items():
            archive.writestr(name, octets)
    assert look("a.docx", made.getvalue())["a.docx"] == {"office"}
    with zipfile.ZipFile(made, "a") as archive:
        for name, octets in code.items():
            archive.writestr(name, octets)
    assert look("a.docx", made.getvalue())["a.docx"] == {"office", "macros"}


@pytest.mark.parametrize("piece", [5, 4096])
def test_macros_in_old_documents_are_told_wherever_they_stand(piece: int) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9000) + "WordDocument".encode("utf-16-le") + bytes(70_000)
    assert look("a.doc", ole, piece=piece)["a.doc"] == {"office"}
    assert look("a.doc", ole + "_VBA_PROJECT".encode("utf-16-le"), piece=piece)["a.doc"] == {"office", "macros"}
    assert look("a.doc", ole + "EncryptedPackage".encode("utf-16-le"))["a.doc"] == {"office", "encrypted"}


def test_macros_in_flat_documents_are_told() -> None:
    flat = b'<?xml version="1.0"?>\n<?mso-application progid="Word.Document"?>\n'
    assert look("a.xml", flat)["a.xml"] == {"office"}
    assert look("a.xml", flat + bytes(40_000) + b"QWN0aXZlTWltZQ")["a.xml"] == {"office", "macros"}
    web = (
        b"MIME-Version: 1.0\r\nContent-Type: application/x-mso; name=e.mso\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    assert look("a.doc", web + b"QWN0aXZlTWltZQAA")["a.doc/e.mso"] == {"macros"}


def test_oletools_are_asked_about_documents_without_macros(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def has_macros(document: Iterator[bytes], seconds: float) -> bool:
        asked.append(b"".join(document))
        return True

    monkeypatch.setattr("engine.scanning.macros.has_macros", has_macros)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("[Content_Types].xml", b"<Types/>")
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50_000)
    for octets in (ole, made.getvalue()):
        assert "macros" not in look("a", octets)["a"]
        assert not asked
        assert "macros" in look("a", octets, Limits(oletools=True))["a"]
        assert asked.pop() == octets
    look("a", ole + "_VBA_PROJECT".encode("utf-16-le"), Limits(oletools=True))
    look("a", PDF, Limits(oletools=True))
    assert not asked


@pytest.mark.skipif(not macros.is_installed(), reason="oletools are not installed")
def test_what_oletools_say() -> None:
    flat = b'<?xml version="1.0"?><?mso-application progid="Word.Document"?><w:wordDocument '
    flat += b'xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml">%s</w:wordDocument>'
    data = b'<w:binData w:name="editdata.mso">QWN0aXZlTWltZQ==</w:binData>'
    assert macros.has_macros(iter([flat % data]), 120) is True
    assert (
        macros.has_macros(iter([zipped(**{"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<x/>"})]), 120)
        is False
    )
    assert macros.has_macros(iter([b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000)]), 120) is None  # it is damaged
    assert macros.has_macros(iter([flat]), 0) is None
    assert macros.has_macros(iter([bytes(macros.LARGEST), b"x"]), 120) is None


def test_scripts_in_pdf_are_told() -> None:
    assert look("a.pdf", PDF)["a.pdf"] == {"pdf"}
    assert look("a.pdf", PDF + b"<< /S /JavaScript /JS (x) >>")["a.pdf"] == {"pdf", "pdf-javascript"}


# -- what means harm


def zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def test_a_bomb_is_not_unpacked_to_its_end() -> None:
    octets = gzip.compress(bytes(400_000_000), 9)
    tracemalloc.start()
    found = look("x.gz", octets, Limits(size=2**40))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "bomb" in found["x.gz"]
    assert peak < 5_000_000


def test_a_table_of_zeros_is_no_bomb() -> None:
    assert look("x.gz", gzip.compress(bytes(9_000_000), 9))["x.gz"] == {"archive"}


def test_all_archives_of_a_message_share_what_may_come_out() -> None:
    examination = Examination(Limits(size=3_000_000))
    packed = gzip.compress(bytes(1_000_000))
    found = [examination.of("x.gz", iter([packed])) for _ in range(4)]
    assert ["bomb" in set().union(*(file.kinds for file in one)) for one in found] == [False, False, False, True]


def test_a_bomb_within_bombs_is_told() -> None:
    """As 42.zip is made: each level holds the one below many times."""
    octets = zipped(x_bin=bytes(20_000_000))
    for _ in range(3):
        octets = zipped(**{f"f{number}_zip": octets for number in range(16)})
    assert "bomb" in look("x.zip", octets)["x.zip"]


def test_too_many_files_are_a_bomb() -> None:
    assert "bomb" in look("x.zip", zipped(**{f"f{number}": b"" for number in range(51)}))["x.zip"]
    assert "bomb" in look("x.tar", tarred(**{f"f{number}": b"" for number in range(51)}))["x.tar"]
    several = zipped(**{f"z{number}_zip": zipped(**{f"f{inner}": b"" for inner in range(20)}) for number in range(3)})
    assert "bomb" in look("x.zip", several)["x.zip"]


def test_files_that_overlap_are_a_bomb() -> None:
    """Many names in the directory for one and the same octets, as the bombs of David Fifield have."""
    octets = zipped(zipfile.ZIP_STORED, a=b"x" * 100)
    end = octets.rindex(b"PK\x05\x06")
    start = octets.index(b"PK\x01\x02")
    record = octets[start:end]
    fields = list(struct.unpack("<4s4H2LH", octets[end:]))
    fields[3] = fields[4] = 10
    fields[5] = 10 * len(record)
    found = look("x.zip", octets[:start] + record * 10 + struct.pack("<4s4H2LH", *fields))
    assert "bomb" in found["x.zip"]


def test_a_directory_that_says_too_much_takes_no_memory() -> None:
    octets = zipped(a=b"x")
    end = octets.rindex(b"PK\x05\x06")
    broken = octets[:end] + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 40, 40, 2**31, 0, 0)
    assert "unreadable" in look("x.zip", broken)["x.zip"]


def test_a_name_that_has_no_end_is_not_read() -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**33
    octets = header.tobuf(tarfile.GNU_FORMAT)
    assert "unreadable" in look("x.tar", octets + bytes(10_000))["x.tar"]


def test_when_the_time_is_over_the_rest_is_unreadable() -> None:
    found = look("x.zip", zipped(b_bin=EXE), Limits(seconds=-1))
    assert "unreadable" in found["x.zip"]


def archives() -> Iterator[bytes]:
    yield zipped(a_txt=TEXT, b_bin=EXE)
    yield zipped(zipfile.ZIP_LZMA, b_bin=EXE)
    yield tarred(a_txt=TEXT, b_bin=EXE)
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        yield pack(EXE)


WHOLE = list(archives())


@pytest.mark.parametrize("number", range(len(WHOLE)))
def test_what_is_cut_off_is_unreadable_or_shows_what_it_has(number: int) -> None:
    for end in range(8, len(WHOLE[number]) - 1, 7):
        found = look("x", WHOLE[number][:end])
        assert all(kind <= set(kinds.KINDS) for kind in found.values())


def test_properties_of_lzma_that_cannot_be_are_a_flaw() -> None:
    octets = bytearray(WHOLE[1])
    properties = octets.index(b"\x05\x00", 30 + len("b.bin")) + 2  # behind their size (APPNOTE.TXT 5.8.8)
    octets[properties] = 8 + 9 * 4  # lc = 8 and lp = 4 together are more than LZMA has
    assert look("x.zip", bytes(octets))["x.zip/b.bin"] == {"unreadable"}


@given(st.sampled_from(WHOLE), st.data())
def test_damaged_archives_are_taken_like_all_else(whole: bytes, data: st.DataObject) -> None:
    octets = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    found = look("x", bytes(octets), piece=data.draw(st.integers(1, 1000)))
    assert set().union(*found.values()) <= set(kinds.KINDS)


MAGIC = [
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b\x08",
    b"BZh9",
    b"\xfd7zXZ\0",
    b"]\0\0\x80\0",
    b"From: x\r\n",
    bytes(257) + b"ustar",
]


@given(st.sampled_from(MAGIC), st.binary(max_size=2000))
def test_any_octets_are_taken(magic: bytes, rest: bytes) -> None:
    look("x", magic + rest)


@given(st.binary(max_size=300))
def test_any_directory_is_taken(octets: bytes) -> None:
    with contextlib.suppress(Flaw):
        zips.entries(io.BytesIO(octets + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, len(octets), 0, 0)), 100)


# -- the parts of a message

TYPES = ["text/plain", "TEXT/HTML; charset=x", "multipart/mixed; boundary=b", "multipart/digest; boundary=b",
         "image/png", "text/plain; name=a", "message/rfc822", "message/partial", "nonsense",
         "text/plain;\r\n\tname=a"]  # fmt: skip
LINES = ["", "--b", "--b--", "Content-Disposition: attachment", "Content-Disposition: inline", "x", " y",
         "Content-Transfer-Encoding: x-uuencode", "content-type : a/b", "Content-ID: <x>",
         *(f"Content-Type: {one}" for one in TYPES)]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=14))
def test_a_message_that_has_none_has_none(lines: list[str]) -> None:
    octets = "\r\n".join(lines).encode()
    if parts.has_none(octets):
        root = structure([octets])
        assert parts.attachments(root) == []
        assert all(is_known(part.encoding) for part in root.walk())


def test_ordinary_mail_is_seen_to_have_none() -> None:
    made = EmailMessage(policy=SMTP)
    made.set_content("Hello\n")
    made.add_alternative("<p>Hello</p>", subtype="html")
    assert parts.has_none(made.as_bytes())
    made.add_attachment(EXE, maintype="image", subtype="png")
    assert not parts.has_none(made.as_bytes())


@given(st.binary(max_size=50), st.lists(st.integers(0, 60)), st.integers(1, 20))
def test_ranges_are_found_in_chunks_of_any_size(octets: bytes, cuts: list[int], size: int) -> None:
    forward = parts.Forward(octets[start : start + size] for start in range(0, len(octets), size))
    cuts = sorted(cuts)
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        assert b"".join(forward.between(start, end)) == octets[start:end]


def test_what_nobody_takes_is_passed_over() -> None:
    forward = parts.Forward(iter([b"abcdef", b"ghijkl"]))
    next(forward.between(0, 8))
    assert b"".join(forward.between(9, 11)) == b"jk"
