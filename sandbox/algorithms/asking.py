"""A run that names an algorithm: ``{"algorithm": "sha256:...", "parameters": {...}}`` instead of a program's text."""

from functools import partial

from sqlmodel import Session

from hexi.canonical import Json, parse
from hexi.errors import Malformed
from registry.catalogue import Product
from sandbox.algorithms import store
from sandbox.algorithms.algorithm import read_algorithm
from sandbox.algorithms.states import AlgorithmState
from sandbox.programs.execution import Asked
from sandbox.reasons import Reason, Refusal

_MEMBERS = frozenset({"algorithm", "parameters"})


def is_reference(text: str) -> bool:
    """Whether a request's text is meant to name an algorithm: no program that does anything begins with a brace."""
    return text.lstrip().startswith("{")


def ask_algorithm(session: Session, text: str, product: Product) -> tuple[Asked, dict[str, Json]] | Refusal:
    """The accepted algorithm that `text` names, ready to run, and what the receipt says of it; or why it may not be."""
    try:
        asked = parse(text)
    except Malformed:
        asked = None
    if not isinstance(asked, dict) or asked.keys() - _MEMBERS or not isinstance(asked.get("parameters", {}), dict):
        return _refusal(
            "sandbox.algorithm-reference",
            'name an algorithm as {"algorithm": "sha256:...", "parameters": {"name": value}}',
        )
    row = store.algorithm(session, str(asked.get("algorithm")))
    if row is None or row.state != AlgorithmState.ACCEPTED:
        return _refusal(
            "sandbox.algorithm-not-accepted", "no accepted algorithm of this provider has this digest; see its list"
        )
    algorithm, parameters = read_algorithm(parse(row.document)), asked.get("parameters", {})
    if not algorithm.is_for(product.identifier):
        return _refusal(
            "sandbox.algorithm-other-product",
            f"this algorithm was reviewed for {', '.join(algorithm.products or ()) or 'no product'}, not for this one; "
            "its author may submit a version that names it",
        )
    if why := algorithm.why_not(parameters, product):
        return _refusal("sandbox.algorithm-parameters", why)
    told = {"algorithm": row.digest, "name": f"{row.name} {row.version}", "parameters": parameters}
    return Asked(algorithm.program, parameters, partial(algorithm.why_broken, parameters=parameters)), told


def _refusal(code: str, message: str) -> Refusal:
    return Refusal((Reason(code, message),))
