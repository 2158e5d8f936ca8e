"""What a lattice product shows before it is signed and before it is asked: levels, measures, and what it gives away."""

from collections.abc import Iterator

from hexi.canonical import Json
from privacy.lattice.gate import Exposure, exposure, proposals
from privacy.lattice.plan import plan
from privacy.lattice.policy import read_policy
from registry.catalogue import Product

# The policy as it stands, beside the profiles it could be published under.
AS_DECLARED = "as declared"


def gate(product: Product) -> dict[str, Json]:
    """The policy, and by profile and family what an insider and an outsider would learn. Raises `PolicyUnusable`."""
    policy = read_policy(dict(product.lattice or {}))
    planned = plan(policy)
    declared = tuple(exposure(planned, family.name) for family in policy.families)
    shown = [(AS_DECLARED, declared), *((profile.name, told) for profile, told in proposals(policy))]
    return {
        **policy.document(),
        "policy": policy.digest,
        "plan": planned.digest,
        "exposures": list(_rows(shown)),
    }


def _rows(shown: list[tuple[str, tuple[Exposure, ...]]]) -> Iterator[dict[str, Json]]:
    for profile, exposures in shown:
        for told in exposures:
            yield {
                "profile": profile,
                "family": told.family,
                "mu": told.mu,
                "insiderAccuracy": told.insider_accuracy,
                "insiderGain": told.insider_gain,
                "outsiderGain": told.outsider_gain,
                "independentNumbers": told.independent_numbers,
                "typicalError": told.typical_error,
            }
