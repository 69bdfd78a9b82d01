"""Why something cannot be done, in words for whoever wants it."""


class Impossible(Exception):
    """It cannot be done in the state that things are in. Nothing was changed."""


class Missing(Impossible):
    """There is no such thing."""
