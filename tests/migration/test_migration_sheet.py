"""Files of many accounts, and servers as they are written."""

from pathlib import Path

import pytest

from engine.migration import Login, Security, Server, server_at
from engine.operations.migrating import ForAll, kept, parsed


@pytest.mark.parametrize(
    ("text", "server", "user"),
    [
        ("imap.example.com", Server("imap.example.com"), ""),
        ("imaps://imap.example.com:1993/", Server("imap.example.com", 1993), ""),
        ("imap://ann@imap.example.com", Server("imap.example.com", 143, Security.STARTTLS), "ann"),
        (
            "imap://ann%40old.example@[2001:db8::1]:1143",
            Server("2001:db8::1", 1143, Security.STARTTLS),
            "ann@old.example",
        ),
    ],
)
def test_a_server_is_understood(text: str, server: Server, user: str) -> None:
    assert server_at(text) == (server, user)
    assert server_at(str(server)) == (server, "")


@pytest.mark.parametrize(
    "text", ["", "http://x", "imaps://", "imaps://x:0", "imaps://x:99999", "imaps://x/INBOX", "imaps://x?y", "a b"]
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no "):
        server_at(text)


def test_a_password_has_no_place_in_a_server() -> None:
    with pytest.raises(ValueError, match="others could see it") as caught:
        server_at("imaps://ann:secret@x")
    assert "secret" not in str(caught.value)


def test_each_line_has_what_it_says_and_else_what_holds_for_all(tmp_path: Path) -> None:
    (tmp_path / "eve").write_text("from a file\n")
    lines = [
        "address,user,password,password_file,server\n",
        "ann@example.org,,one,,\n",
        "bob@example.org,robert,two,,imap://old.example.net\n",
        "eve@example.org,,,eve,\n",
        "joe@example.org,,,,\n",
    ]
    said = ForAll(Server("imap.example.com"), Login("", kept("all"), "root"), folder=tmp_path)
    sheet = parsed(lines, said)
    assert sheet.mistakes == []
    assert [(one.address, one.login.user, one.login.secret(), one.server.host, one.line) for one in sheet.tasks] == [
        ("ann@example.org", "ann@example.org", "one", "imap.example.com", 2),
        ("bob@example.org", "robert", "two", "old.example.net", 3),
        ("eve@example.org", "eve@example.org", "from a file", "imap.example.com", 4),
        ("joe@example.org", "joe@example.org", "all", "imap.example.com", 5),
    ]
    assert {one.login.master for one in sheet.tasks} == {"root"}
    assert "two" not in repr(sheet)


def test_all_mistakes_are_told_together() -> None:
    lines = ["address,server,password,password_file\n", "nobody,,x,\n", "ann@x.org,,x,\n", "bob@x.org,x y,x,\n"]
    sheet = parsed([*lines, "eve@x.org,x,,\n", "joe@x.org,x,,/etc/passwd\n"], ForAll())
    assert [(one.line, one.text) for one in sheet.mistakes] == [
        (2, "'nobody' is no address"),
        (3, "no server is named, here or for all"),
        (4, "'x y' is no host"),
        (5, "no password is given, here or for all"),
        (6, "password_file is for the command alone"),
    ]
    assert [one.text for one in parsed(["addres\n"], ForAll()).mistakes] == [
        "there is no column 'addres'; there are address, server, user, password, password_file, master",
        'the first line must name the columns, "address" among them',
    ]
