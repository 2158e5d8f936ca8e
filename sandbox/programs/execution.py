"""Running a program over a dataset, from laid-out tables to collected outputs: for the lane, and for trials."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hexi.canonical import Json, parse
from hexi.errors import Malformed
from sandbox.datasets import Dataset
from sandbox.errors import DataChanged, JobFailed
from sandbox.isolation.processes import IsolatedProgram, IsolationSettings, Limits, Packages, isolated_program
from sandbox.isolation.stopping import Stop
from sandbox.programs.collecting import MAX_BYTES, Collected, Expected, Inadmissible, check_counts, collect
from sandbox.programs.environment import Environment, default_folder, open_environment
from sandbox.programs.inputs import Inputs, lay_out
from sandbox.programs.source import Program
from sandbox.settings import SandboxSettings

# Programs are never run with less between them and the machine.
MINIMUM_LEVEL = 2
# What starting takes of the processor, in whole seconds at most: the limit counts it, and it is not the program's.
STARTING_CPU_SECONDS = 5
# How long outputs are held against the tables, in seconds: how long that takes is the program's choice, and must not
# show in when the answer comes. What is not counted by then is shown to reviewers as the program's own word.
COUNTING_SECONDS = 1.0
_FAILED = "it ended with an error, or at one of its limits"

# Is told why a program failed, in its own words: see `sandbox.runs.Sandbox`.
Hear = Callable[[str], None]
# Says of collected outputs what about them is not as promised, or None.
Promise = Callable[[Sequence[Json]], str | None]


def nothing_promised(_: Sequence[Json]) -> None:
    """Of a program that declares nothing beforehand."""


@dataclass(frozen=True)
class Asked:
    """A program as it is to be run: with which parameters, and what of its outputs was promised beforehand."""

    program: Program
    parameters: Mapping[str, Json] = field(default_factory=dict)
    promised: Promise = nothing_promised


@dataclass(frozen=True)
class Ran:
    """What a program left: outputs or why there are none, and what it was held against.

    It began, by the monotonic clock, when its isolation stood and it was told to go on: nothing before that is its own
    doing, and everything after it may be.
    """

    collected: Collected | str
    unchecked: Sequence[str]
    expected: Expected
    isolation: Json
    environment: Environment
    began: float


def execute(
    asked: Asked,
    dataset: Dataset,
    settings: SandboxSettings,
    *,
    minimum_level: int,
    stop: Stop | None = None,
    unsafe_hear: Hear | None = None,
) -> Ran:
    """See the module. Raises `IsolationUnavailable`, `EnvironmentUnavailable`, `DataChanged`, `ProductUnusable`."""
    environment = open_environment((settings.environment or default_folder()).absolute())
    before, seconds = dataset.fingerprint(), seconds_of(asked.program, settings)
    with lay_out(dataset) as inputs:
        words = asked.program.words | {value for value in asked.parameters.values() if isinstance(value, str)}
        expected = Expected(dataset.product, words, inputs.entities)
        packages = Packages(environment.packages, inputs.schema, asked.parameters, unsafe_tells=unsafe_hear is not None)
        cpu_seconds = seconds + STARTING_CPU_SECONDS
        with isolated_program(
            minimum_level=max(MINIMUM_LEVEL, minimum_level),
            tables=inputs.tables,
            limits=Limits(settings.program_memory_bytes, cpu_seconds, float(seconds), MAX_BYTES),
            settings=IsolationSettings(runsc=settings.runsc),
            stop=stop,
            packages=packages,
        ) as program:
            began = time.monotonic()
            output = _declared(program, asked.program.text, unsafe_hear)
        isolation: Json = {"level": program.isolation.level, "layers": dict(program.isolation.layers)}
        if output is None:
            return Ran(_FAILED, (), expected, isolation, environment, began)
        collected, unchecked = _collected(output, expected, inputs, asked.promised)
        if unsafe_hear is not None and isinstance(collected, str):
            unsafe_hear(collected)
    if dataset.fingerprint() != before:
        raise DataChanged("the files of this product changed while they were read; ask again")
    return Ran(collected, unchecked, expected, isolation, environment, began)


def _declared(program: IsolatedProgram, text: str, unsafe_hear: Hear | None) -> bytes | None:
    """What it declared; None if it failed, and then `unsafe_hear` is told why."""
    try:
        output = program.run(text)
        if unsafe_hear is not None and (raised := _raised(output)) is not None:
            raise JobFailed(raised)
    except JobFailed as error:
        if unsafe_hear is not None:
            unsafe_hear(error.detail)
        return None
    return output


def _raised(output: bytes) -> str | None:
    """The last words of a program that ended with an exception, as a terminal may show them."""
    try:
        said = parse(output)
    except Malformed:
        return None
    words = said.get("raised") if isinstance(said, dict) else None
    return "".join(letter if letter.isprintable() else " " for letter in words) if isinstance(words, str) else None


def seconds_of(program: Program, settings: SandboxSettings) -> int:
    """The time a program gets."""
    return max(1, min(program.seconds or settings.program_seconds, settings.program_most_seconds))


def _collected(
    output: bytes, expected: Expected, inputs: Inputs, promised: Promise
) -> tuple[Collected | str, Sequence[str]]:
    until = time.monotonic() + COUNTING_SECONDS
    try:
        collected = collect(output, expected)
        unchecked = check_counts(
            collected.outputs,
            lambda names, key: inputs.most(names, key) if time.monotonic() < until else None,
            expected.product.disclosure.rounding,
        )
    except Inadmissible as why:
        return str(why), ()
    broken = promised(collected.outputs)
    return (collected, unchecked) if broken is None else (broken, ())
