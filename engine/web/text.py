"""Texts of ours that are said where no reader is known, such as in an error; `languages` puts them into his own."""


class Text(str):
    """A text of ours that is not in the reader's language yet: ``template`` is, with ``values`` in it."""

    template: str
    values: dict[str, object]


def N_(template: str, **values: object) -> Text:  # noqa: N802 - by this name texts are found for translation
    """A text that is said where no reader is known, such as in an error."""
    found = Text(template % values if values else template)
    found.template, found.values = template, values
    return found
