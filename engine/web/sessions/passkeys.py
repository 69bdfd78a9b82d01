"""Passkeys: WebAuthn credentials of accounts (https://www.w3.org/TR/webauthn-3/), by the library fido2.

One signs in by a passkey alone: the device has seen to it that it is its owner (user verification), which is a second
factor of its own.
"""

import json
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from engine.directory import Account
from engine.web.sessions.store import Passkey, Person, Sessions

MOST = 20
"""Of one account."""

STEP = 300.0
"""Seconds that a person has to answer what a device asks."""

_HANDLE = 8
"""Octets of an account's id, by which its passkeys name it (user handle, WebAuthn 5.4.3): nothing private."""


class Refused(Exception):
    """What a browser sent proves nothing."""


@dataclass(frozen=True, slots=True)
class Passkeys:
    """Those of the site at that origin."""

    origin: str
    sessions: Sessions

    def asked_to_register(self, account: Account) -> tuple[dict[str, Any], bytes]:
        """What the browser is asked for, and what must be kept until it answers."""
        known = [AttestedCredentialData(one.credential) for one in self.sessions.person(account.id).passkeys]
        options, state = self._server().register_begin(
            PublicKeyCredentialUserEntity(
                name=account.address, display_name=account.address, id=account.id.to_bytes(_HANDLE, "big")
            ),
            known,
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return _plain(options), json.dumps(state).encode()

    def register(self, account: Account, name: str, state: bytes, answer: Mapping[str, Any]) -> None:
        """Keep a new one. Blocks. Refused."""
        try:
            data = self._server().register_complete(json.loads(state), answer)
        except Exception as error:  # the library raises much, for what strangers write
            raise Refused(str(error)) from error
        if data.credential_data is None:
            raise Refused("there is no credential in it")
        added = Passkey(name, time.time(), bytes(data.credential_data), data.counter)
        self.sessions.change_person(account.id, lambda person: _with(person, account, added))

    def asked_to_sign_in(self) -> tuple[dict[str, Any], bytes]:
        """What the browser is asked for, whoever it is, and what must be kept until it answers."""
        options, state = self._server().authenticate_begin(user_verification=UserVerificationRequirement.REQUIRED)
        return _plain(options), json.dumps(state).encode()

    def sign_in(self, state: bytes, answer: Mapping[str, Any]) -> tuple[int, str]:
        """The id and the address of the account whose passkey has signed. Blocks. Refused."""
        try:
            response = AuthenticationResponse.from_dict(answer)
            handle = response.response.user_handle or b""
            account = int.from_bytes(handle, "big") if len(handle) == _HANDLE else 0
            person = self.sessions.person(account)
            credentials = [AttestedCredentialData(one.credential) for one in person.passkeys]
            used = self._server().authenticate_complete(json.loads(state), credentials, response)
            count = response.response.authenticator_data.counter
        except Exception as error:  # as above
            raise Refused(str(error)) from error
        self.sessions.change_person(account, lambda person: _counted(person, used.credential_id, count))
        return account, person.address

    def remove(self, account: Account, created: float) -> None:
        """Nobody signs in by it any more. Blocks."""
        self.sessions.change_person(
            account.id,
            lambda person: msgspec.structs.replace(
                person, passkeys=tuple(one for one in person.passkeys if one.created != created)
            ),
        )

    def remove_all(self, account: Account) -> None:
        """The same of all that it has. Blocks."""
        self.sessions.change_person(account.id, lambda person: msgspec.structs.replace(person, passkeys=()))

    def _server(self) -> Fido2Server:
        host = urllib.parse.urlsplit(self.origin).hostname or ""
        rp = PublicKeyCredentialRpEntity(name="Postroad", id=host)
        return Fido2Server(rp, verify_origin=lambda origin: origin == self.origin)


def _plain(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dict(options)))
    return found


def _with(person: Person, account: Account, added: Passkey) -> Person:
    if len(person.passkeys) >= MOST:
        raise Refused(f"an account has {MOST} passkeys at most")
    return msgspec.structs.replace(person, address=account.address, passkeys=(*person.passkeys, added))


def _counted(person: Person, credential: bytes, count: int) -> Person:
    """With the number of its signatures: one that does not grow is that of a copy (WebAuthn 6.1.1)."""
    passkeys = []
    for one in person.passkeys:
        if AttestedCredentialData(one.credential).credential_id == credential:
            if one.count and count <= one.count:
                raise Refused("somebody has a copy of this passkey")
            one = msgspec.structs.replace(one, count=count, used=time.time())  # noqa: PLW2901
        passkeys.append(one)
    return msgspec.structs.replace(person, passkeys=tuple(passkeys))
