"""Names that the engine gives to stages by their annotation."""

from typing import NewType

Hostname = NewType("Hostname", str)
