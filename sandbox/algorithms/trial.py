"""Trying an algorithm on a twin of a product: synthetic tables, the very isolation, collector and rules of a run."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from hexi.canonical import Json
from sandbox.algorithms.algorithm import Algorithm
from sandbox.datasets import Dataset
from sandbox.errors import AlgorithmInvalid
from sandbox.preview.twin import twin
from sandbox.programs.execution import Asked, Ran, execute
from sandbox.programs.rules import inadmissible, report
from sandbox.settings import SandboxSettings


def try_out(
    algorithm: Algorithm, dataset: Dataset, parameters: Mapping[str, Json], settings: SandboxSettings
) -> tuple[bool, list[dict[str, Json]], str]:
    """Whether it passed, the report, and the digest of the environment. No row of `dataset` is read.

    Raises `AlgorithmInvalid` for parameters it does not take, and what `sandbox.programs.execution.execute` raises.
    """
    if why := algorithm.why_not(parameters, dataset.product):
        raise AlgorithmInvalid(why)
    promised = partial(algorithm.why_broken, parameters=parameters)
    with TemporaryDirectory(prefix="hexi-trial-") as folder:
        made = twin(dataset.product, dataset.digest)
        made.write(Path(folder))
        files = {name: Path(folder) / f"{name}.csv" for name in made.tables}
        asked = Asked(algorithm.program, parameters, promised)
        ran = execute(asked, Dataset(dataset.product, dataset.digest, files), settings, minimum_level=0)
    return not isinstance(ran.collected, str), _report(ran), ran.environment.digest


def _report(ran: Ran) -> list[dict[str, Json]]:
    if isinstance(ran.collected, str):
        return inadmissible(ran.collected)
    return report(ran.collected, ran.expected, ran.unchecked, ())
