"""What the file says of oversight stands in the audit log: each change, by whom it was put in force."""

from types import SimpleNamespace

from engine.config import Journal, Oversight, Retention
from engine.oversight.noting import Noting
from engine.units import Duration


def config(**values):
    return SimpleNamespace(**({"oversight": Oversight(), "retention": {}, "journals": {}} | values))


def test_each_change_is_an_entry(opened) -> None:
    now = [config()]
    noting = Noting(lambda: opened, lambda: now[-1], lambda: (len(now), "root"))
    noting.note()
    noting.note()
    (first,) = opened.entries()
    assert (first.what, first.by) == ("oversight-changed", "root")
    assert first.details["to"] == {"consent": True, "longest": 604800.0, "notice": "never"}
    now.append(config(oversight=Oversight(consent=False), retention={"trash": Retention(keep=Duration("30d"))}))
    noting.note()
    now.append(config(journals={"all": Journal(who=("*",), to="journal@example.org")}))
    noting.note()
    found = [(one.what, one.details["revision"], one.details["from"]) for one in list(opened.entries())[1:]]
    assert [one[:2] for one in found] == [
        ("oversight-changed", 2),
        ("retention-changed", 2),
        ("oversight-changed", 3),
        ("retention-changed", 3),
        ("journaling-changed", 3),
    ]
    assert found[0][2]["consent"] is True
    assert found[3][2] == {"trash": {"keep": 2592000.0, "who": ["*"], "folders": ["*"], "age": "saved"}}
