"""What travels between authors, reviewers and the algorithm repository."""

from typing import Any

from pydantic import ConfigDict, Field

from hexi.canonical import Wire
from sandbox.algorithms.algorithm import EXAMPLE, Algorithm
from sandbox.algorithms.states import AlgorithmState

MAX_REASON_CHARACTERS = 2_000
_SUMMARY: dict[str, Any] = {
    "digest": f"sha256:{'0' * 64}",
    "name": "mean_by_group",
    "version": 1,
    "author": "did:web:university.example",
    "state": "accepted",
}


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [members]})


class TrialBody(Wire):
    """Ask for a try: on a twin of which product, with which parameters."""

    product: str = Field(min_length=1, max_length=200)
    version: int = Field(ge=1)
    parameters: dict[str, str | int] = Field(default_factory=dict, max_length=20)


class Trial(TrialBody):
    """A try: whether every output came as declared, what the rules say of them, and in which environment."""

    passed: bool
    report: tuple[dict[str, Any], ...]
    environment: str
    at: str


class JudgementBody(Wire):
    """What a person says of an algorithm, and why."""

    agrees: bool
    reason: str = Field(min_length=1, max_length=MAX_REASON_CHARACTERS, pattern=r"\S")


class Judged(JudgementBody):
    """The same, with who said it and when."""

    reviewer: str
    organisation: str
    at: str


class AlgorithmSummary(Wire):
    """An algorithm in a list."""

    model_config = _example(**_SUMMARY)

    digest: str
    name: str
    version: int
    author: str
    state: AlgorithmState


class AlgorithmBody(AlgorithmSummary):
    """An algorithm with its whole story."""

    model_config = _example(**_SUMMARY, algorithm=EXAMPLE, trials=[], judgements=[])

    algorithm: Algorithm
    trials: tuple[Trial, ...] = ()
    judgements: tuple[Judged, ...] = ()
