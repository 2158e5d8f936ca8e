"""Steps 1 and 2 of a run (`sandbox.runs`): the permit holds, the request holds and fits it, and an encrypted sum is one
that this provider may add to.
"""

from dataclasses import dataclass

from hexi.canonical import Clock
from hexi.keys import VerifyingKey
from privacy.homomorphic import check_context
from registry.identity import Identity
from registry.trust import Trust
from sandbox.errors import RequestInvalid
from sandbox.messages import from_base64
from sandbox.permits import Permit, verify_permit
from sandbox.requests import RunRequest, check_sum, verify_request


@dataclass(frozen=True)
class Verification:
    """What `identity`, a provider, holds permits and requests against. `point` is the one aggregation point it sends
    encrypted numbers to, if it contributes any.
    """

    identity: Identity
    trust: Trust
    clock: Clock
    point: str
    contributes: bool

    def verified(
        self, permit_jws: str, request_jws: str, context: str | None
    ) -> tuple[Permit, RunRequest, bytes | None]:
        """Permit, request and public context. Raises as `verify_permit`, `verify_request` and `check_sum` do."""
        permit = verify_permit(permit_jws, issuer=self.identity.did, resolve=self._resolve, clock=self.clock)
        request = verify_request(request_jws, permit=permit, resolve=self._resolve)
        return permit, request, self._context(permit, request, context)

    def _resolve(self, kid: str) -> VerifyingKey:
        # Our own key needs nobody's word, and no call to a registry.
        return self.identity.key.public if kid == self.identity.kid else self.trust.resolve(kid)

    def _context(self, permit: Permit, request: RunRequest, context: str | None) -> bytes | None:
        if request.encrypted_sum is None:
            return None
        if context is None or not self.contributes:
            raise RequestInvalid("an encrypted sum needs the public context, and a provider that contributes")
        public_context = from_base64(context)
        check_sum(
            request.encrypted_sum, public_context, provider=self.identity.did, holder=permit.holder, point=self.point
        )
        check_context(public_context)
        return public_context
