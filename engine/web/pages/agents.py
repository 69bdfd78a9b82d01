"""What a browser says that it is, in a few words for people: "Firefox, Linux"."""

_BROWSERS = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"), ("HeadlessChrome", "Chrome"), ("CriOS", "Chrome"), ("Chrome", "Chrome"), ("Safari", "Safari"),
)  # fmt: skip
"""The first word that is there counts: others say that they are Chrome and Safari as well."""

_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip

_LONGEST = 60


def in_words(agent: str) -> str:
    """The browser and the system; what says neither, as it is."""
    found = [next((name for word, name in known if word in agent), "") for known in (_BROWSERS, _SYSTEMS)]
    return ", ".join(filter(None, found)) or agent[:_LONGEST] or "–"
