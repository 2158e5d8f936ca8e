"""Membership: how this connector got into the space, and how it shows that it is in.

The application is signed with the connector's key; the space fetches the DID document over the network to check it, so
the connector must be serving. Once the operator approves, the membership credential is fetched and kept in the home
folder: it is not secret (it names its holder, and only the holder's key can use it).
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from connector.protocol.messages import PATH
from hexi.canonical import Clock, Json
from hexi.errors import DataspaceError, Malformed, RemoteProblem
from registry.applications import seal_application
from registry.client import RegistryClient
from registry.identity import Identity
from registry.messages import Application
from registry.presentation import present

APPLICATION_FILE = "application"
CREDENTIAL_FILE = "membership.jwt"


class Membership:
    """This connector's membership. Safe to share between threads."""

    def __init__(self, home: Path, url: str, identity: Identity, registry: RegistryClient, clock: Clock) -> None:
        self._home = home
        self._url = url
        self._identity = identity
        self._registry = registry
        self._clock = clock
        self._lock = threading.Lock()
        self._credential = _read(home / CREDENTIAL_FILE)

    def apply(self, about: Mapping[str, Json]) -> dict[str, Json]:
        """Apply for membership, saying `about` whom; the same again is the same application.

        Raises `Malformed`, `RemoteProblem`.
        """
        application = _application({"did": self._identity.did, "dspUrl": self._url + PATH, **about})
        answer = self._registry.apply(seal_application(self._identity, application))
        (self._home / APPLICATION_FILE).write_text(answer.id, encoding="utf-8")
        return answer.to_json()

    def status(self) -> dict[str, Any]:
        """Where we stand: the registry's answer about our application. Keeps the credential once there is one."""
        application = _read(self._home / APPLICATION_FILE)
        if application is None:
            return {"state": "none", "way": "apply with: hexi connector apply"}
        try:
            answer = self._registry.application(application)
        except RemoteProblem as problem:
            if problem.status == 404:
                return {"state": "none", "way": "the space does not know our application; apply again"}
            raise
        self._keep(answer.credential)
        return {name: value for name, value in answer.to_json().items() if name != "credential"}

    def authorise(self, audience: str) -> str:
        """A fresh ``Authorization`` value for a call to `audience`."""
        return present(self._identity, audience, self._current(), self._clock)

    def _current(self) -> str | None:
        if self._credential is None and (self._home / APPLICATION_FILE).exists():
            try:
                self.status()
            except DataspaceError:
                return None  # the call goes out without a credential and is refused there, with the reason
        return self._credential

    def _keep(self, credential: str | None) -> None:
        if credential is None or credential == self._credential:
            return
        with self._lock:
            target = self._home / CREDENTIAL_FILE
            fresh = target.with_suffix(".new")
            fresh.write_text(credential, encoding="utf-8")
            fresh.replace(target)
            self._credential = credential


def _application(said: Mapping[str, Json]) -> Application:
    try:
        return Application.model_validate(said)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise Malformed(f"the registry does not take such an application: {wrong}") from error


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8").strip() if path.exists() else None
