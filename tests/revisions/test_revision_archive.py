"""The archive of revisions: numbers that stay, what is let go of, and a disk that takes nothing."""

import json
from pathlib import Path

import pytest

from engine.revisions import IN_FORCE, OPENING, REFUSED, Archive, from_folder, in_folder


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    found = Archive(tmp_path, keep=3)
    found.open()
    return found


def put(archive: Archive, text: str, *, before: int = 0, **files: str) -> int:
    return archive.settle(archive.take(text, files, by="ann", before=before), IN_FORCE).number


def test_it_is_on_disk_before_anyone_goes_over_to_it(archive: Archive, tmp_path: Path) -> None:
    kept = archive.take("one", {"filters/a.py": "A"}, by="ann", before=0)
    (file,) = (tmp_path / "revisions").iterdir()
    assert file.name == "1.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert Archive(tmp_path).get(1) == kept
    assert (kept.number, kept.by, kept.became, kept.files) == (1, "ann", OPENING, {"filters/a.py": "A"})


def test_numbers_go_on_over_restarts_and_the_same_keeps_its_own(archive: Archive, tmp_path: Path) -> None:
    assert [put(archive, text) for text in ("one", "two", "one", "three")] == [1, 2, 1, 3]
    again = Archive(tmp_path)
    again.open()
    assert [put(again, text) for text in ("three", "two", "four")] == [3, 2, 4]


def test_another_text_of_a_file_that_it_names_is_another_revision(archive: Archive) -> None:
    assert [put(archive, "one", a=text) for text in ("A", "B", "A")] == [1, 2, 1]


def test_what_is_in_force_is_left_as_it_is_when_it_comes_again(archive: Archive, tmp_path: Path) -> None:
    put(archive, "one")
    before = (tmp_path / "revisions" / "1.json").read_bytes()
    kept = archive.take("one", {}, by="bob", before=1)
    archive.settle(kept, IN_FORCE)
    assert (kept.by, kept.before) == ("ann", 0)
    assert (tmp_path / "revisions" / "1.json").read_bytes() == before


def test_the_reason_of_a_refusal_is_kept_until_it_is_taken_after_all(archive: Archive) -> None:
    put(archive, "one")
    refused = archive.settle(archive.take("two", {}, by="bob", before=1), REFUSED, "the model is missing")
    assert (archive.all()[1].became, archive.all()[1].why) == (REFUSED, "the model is missing")
    assert archive.last_in_force() == archive.get(1)
    assert put(archive, "two", before=1) == refused.number
    assert (archive.all()[1].became, archive.all()[1].why, archive.all()[1].before) == (IN_FORCE, "", 1)


def test_the_oldest_go_but_neither_the_one_in_force_nor_the_one_before_it(archive: Archive) -> None:
    put(archive, "one")
    for number in range(2, 8):
        archive.settle(archive.take(f"wrong {number}", {}, by="bob", before=1), REFUSED, "no")
    put(archive, "good", before=1)
    assert [kept.number for kept in archive.all()] == [1, 7, 8]
    assert put(archive, "wrong 7", before=8) == 7
    assert put(archive, "wrong 2", before=7) == 9  # its number is not given to anything else


def test_a_disk_that_takes_nothing_keeps_nobody_from_a_reload(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "revisions").write_text("in the way")
    archive = Archive(tmp_path)
    archive.open()
    assert [archive.take(text, {}, by="ann").number for text in ("one", "two")] == [1, 2]
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["event"], line["revision"]) for line in lines] == [("revision-not-kept", 1), ("revision-not-kept", 2)]


def test_a_damaged_file_is_said_and_its_number_is_not_used_again(
    archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    put(archive, "one")
    put(archive, "two")
    (tmp_path / "revisions" / "2.json").write_bytes(b'{"number": 2')
    (tmp_path / "revisions" / "notes.json").write_bytes(b"")
    again = Archive(tmp_path)
    again.open()
    assert json.loads(capfd.readouterr().err)["event"] == "revision-unreadable"
    assert [kept.number for kept in again.all()] == [1]
    assert put(again, "two") == 3


@pytest.mark.parametrize(
    ("folder", "name", "kept"),
    [
        (".", "filters/a.py", "filters/a.py"),
        ("/etc/postroad", "/etc/postroad/filters/a.py", "filters/a.py"),
        ("/etc/postroad", "/srv/filters/a.py", "/srv/filters/a.py"),
        ("conf", "conf/../a.py", "../a.py"),
    ],
)
def test_files_are_found_from_the_folder_of_the_pipeline(folder: str, name: str, kept: str) -> None:
    assert from_folder({name: "text"}, Path(folder)) == {kept: "text"}
    assert in_folder({kept: "text"}, Path(folder)) == {str(Path(folder) / kept): "text"}
    assert Path(next(iter(in_folder({kept: "text"}, Path(folder))))) == Path(name)
