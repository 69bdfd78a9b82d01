"""Files of the suppression list: three forms to read, two to write, and what is wrong said with its line."""

import csv
import io

import pytest

from engine.directory import Invalid
from engine.suppression.entries import Row, as_csv, as_json, parsed

ROWS = [
    Row("bob@example.net", "complaint", "", 1_790_000_000.0),
    Row("example.com", "invalid-domain", "acme", 1_790_000_000.0, 1_800_000_000.0, 'he said "no", twice'),
    Row("=1+1@example.com", "complaint", "", 0.0, 0.0, '=HYPERLINK("http://evil.test/"&A1)'),
    Row("-x@example.com", "complaint", "", 0.0, 0.0, "'+1 said so"),
    Row("'x@example.com", "complaint", "", 0.0, 0.0, "'quoted'"),
]


def read(text: str) -> list[Row]:
    return list(parsed(io.StringIO(text)))


@pytest.mark.parametrize("form", [as_csv, as_json])
def test_what_is_written_is_read(form: object) -> None:
    text = "\n".join(form(ROWS)) + "\n"  # type: ignore[operator]
    assert read(text) == ROWS


def test_nothing_in_a_file_is_a_formula() -> None:
    for line in as_csv(ROWS):
        assert not [cell for cell in next(csv.reader([line])) if cell.startswith(("=", "+", "-", "@"))], line


def test_an_entry_a_line() -> None:
    assert read("# known\nBob@Example.net\n\nexample.com  # all of it\n") == [
        Row("bob@example.net", "unknown"),
        Row("example.com", "unknown"),
    ]


def test_columns_may_be_few_and_in_any_order() -> None:
    assert read("Class,Entry\ncomplaint,bob@example.net\n") == [Row("bob@example.net", "complaint")]
    assert read("\ufeffentry\nbob@example.net\n") == [Row("bob@example.net", "unknown")]
    assert read("") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("entry,class\nbob@example.net,complaint\nno address,complaint\n", "line 3: "),
        ("entry,class\nbob@example.net,spamm\n", "line 2: there is no class 'spamm'"),
        ("entry,color\nbob@example.net,red\n", "line 2: unknown column 'color'"),
        ("entry\nbob@example.net,complaint\n", "line 2: unknown column 'too many columns'"),
        ("entry,until\nbob@example.net,tomorrow\n", "line 2: 'tomorrow' is no Unix time"),
        ("entry,until\nbob@example.net,nan\n", "line 2: 'nan' is no Unix time"),
        ("entry,until\nbob@example.net,-1\n", "line 2: '-1' is no Unix time"),
        ('{"entry": "bob@example.net"}\n{"entry": \n', "line 2: no JSON"),
        ('{"entry": "bob@example.net"}\n[]\n', "line 2: no object"),
        ('{"entry": "bob@example.net", "tenant": "a\\u0000b"}\n', "line 1: a tenant's name has no NUL"),
        ("{}\n", "line 1: "),
        ("bob@example.net\nevil@@example.net\n", "line 2: "),
        ('entry\n"' + "x" * 200_000 + '"\n', "behind line 1: field larger than field limit"),
    ],
)
def test_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(Invalid) as raised:
        read(text)
    assert why in str(raised.value)
