"""Text that strangers wrote, so that a terminal or a spreadsheet shows it and does not obey it."""

import re

# C0 but for tab and line feed, DEL and C1; separators of lines; what turns the direction of writing; half surrogates.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# What a spreadsheet takes for the beginning of a formula; an apostrophe before it makes it text there.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def visible(text: str) -> str:
    r"""The text with each such character as ``\u001b``: in JSON it still stands for the same."""
    return text if text.isprintable() else _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def on_one_line(text: str) -> str:
    """The same, and nothing in it ends a line or a column."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def in_cell(text: str) -> str:
    """The text as it stands in a CSV file, where no spreadsheet takes it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def out_of_cell(text: str) -> str:
    """What ``in_cell`` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
