"""The OpenAPI document of the admin API, as schemathesis tries it."""

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import ignored_auth, missing_required_header, positive_data_acceptance

from engine.web.api.openapi import document
from engine.web.api.rows import PARTS, ROWS

DOCUMENT = document(ROWS, PARTS)

_CONFIG = schemathesis.Config.from_dict(
    {
        # It makes no tokens up: the network would soon be kept out.
        "generation": {"with-security-parameters": False},
        # What is too large may be told so.
        "checks": {"negative_data_rejection": {"expected-statuses": ["400", "404", "405", "413", "415", "422"]}},
    }
)

EXCLUDED = [
    ignored_auth,  # they send requests of their own; what these look for is tried operation by operation
    missing_required_header,
    positive_data_acceptance,  # a text that is no condition has the right form, as far as a schema can say
]


def schema() -> Any:
    """All operations but one, which takes as long as it is asked to."""
    return schemathesis.openapi.from_dict(DOCUMENT, config=_CONFIG).exclude(path="/measures")
