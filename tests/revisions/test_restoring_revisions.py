"""A kept revision written over the files that stand there."""

from pathlib import Path

import pytest

from engine.revisions import Kept, Restoring
from engine.revisions import restoring as module


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.toml"
    path.write_text("now\n")
    path.chmod(0o640)
    (tmp_path / "filters").mkdir()
    (tmp_path / "filters" / "a.py").write_text("A now\n")
    (tmp_path / "filters" / "b.py").write_text("B\r\n")
    return path


KEPT = Kept(3, 0.0, "ann", "then\n", {"filters/a.py": "A then\n", "filters/b.py": "B\n", "filters/c.py": "C\n"})


def test_what_differs_is_written_and_what_stood_there_is_copied(pipeline: Path) -> None:
    restoring = Restoring(pipeline, KEPT)
    folder = pipeline.parent
    written = restoring.write()
    assert written == [pipeline, folder / "filters" / "a.py", folder / "filters" / "c.py"]
    assert [path.read_text() for path in written] == ["then\n", "A then\n", "C\n"]
    assert (folder / "filters" / "b.py").read_bytes() == b"B\r\n"  # it says the same
    assert pipeline.stat().st_mode & 0o777 == 0o640
    assert restoring.copies is not None
    assert restoring.copies.parent == folder / "pipeline.toml.replaced"
    assert restoring.copies.parent.stat().st_mode & 0o777 == 0o700
    assert (restoring.copies / "pipeline.toml").read_text() == "now\n"
    assert (restoring.copies / "filters" / "a.py").read_text() == "A now\n"
    assert restoring.differing == []


def test_it_can_be_taken_back(pipeline: Path) -> None:
    restoring = Restoring(pipeline, KEPT)
    restoring.write()
    restoring.undo()
    assert pipeline.read_text() == "now\n"
    assert (pipeline.parent / "filters" / "a.py").read_text() == "A now\n"
    assert not (pipeline.parent / "filters" / "c.py").exists()


def test_one_that_cannot_be_written_leaves_all_as_it_was(pipeline: Path) -> None:
    (pipeline.parent / "filters" / "c.py").mkdir()
    (pipeline.parent / "filters" / "c.py" / "in the way").touch()
    kept = Kept(3, 0.0, "ann", "then\n", {"filters/a.py": "A then\n", "filters/c.py/in the way/x.py": "C\n"})
    with pytest.raises(OSError, match="in the way"):
        Restoring(pipeline, kept).write()
    assert pipeline.read_text() == "now\n"
    assert (pipeline.parent / "filters" / "a.py").read_text() == "A now\n"


def test_a_link_stays_one(pipeline: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    pipeline.rename(real)
    pipeline.symlink_to(real)
    Restoring(pipeline, Kept(3, 0.0, "ann", "then\n")).write()
    assert pipeline.is_symlink()
    assert real.read_text() == "then\n"


def test_copies_are_bounded_and_stay_in_their_folder(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COPIES", 2)
    outside = tmp_path.parent / f"{tmp_path.name}-outside.py"
    for number in range(4):
        outside.write_text("now\n")
        kept = Kept(3, 0.0, "ann", f"then {number}\n", {str(outside): "then\n"})
        restoring = Restoring(pipeline, kept)
        assert restoring.elsewhere == [str(outside)]
        restoring.write()
    assert restoring.elsewhere == []
    assert restoring.copies is not None
    assert (restoring.copies / str(outside).lstrip("/")).read_text() == "now\n"
    assert len(list(restoring.copies.parent.iterdir())) == 2


@pytest.mark.parametrize("name", ["../a.py", "/etc/a.py", "filters/../../a.py"])
def test_files_elsewhere_are_known(pipeline: Path, name: str) -> None:
    assert Restoring(pipeline, Kept(3, 0.0, "ann", "then\n", {name: "", "filters/a.py": ""})).elsewhere == [name]
