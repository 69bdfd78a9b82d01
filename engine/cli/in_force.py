"""Which configuration is in force: that of the running server, whatever has been edited since."""

from engine.config import Config, ConfigError, parse
from engine.revisions import Archive, in_folder
from engine.runtime.state import State


def in_force(edited: Config) -> Config | None:
    """None where no server runs on the data folder of ``edited``, or where nobody has kept what it goes by."""
    if State(edited.server.data).running() is None:
        return None
    kept = Archive(edited.server.data).last_in_force()
    if kept is None:
        return None
    try:
        return parse(kept.text, edited.path, in_folder(kept.files, edited.path.parent))
    except ConfigError:  # a file that it names has gone since
        return None
