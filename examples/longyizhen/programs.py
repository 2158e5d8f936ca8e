"""A program in a hospital's sandbox, and the person of the hospital who lets its results out, or does not."""

import uuid

from examples.longyizhen import cast
from examples.longyizhen.report import Papers
from examples.longyizhen.scenario import PROGRAM_FORMAT, Road, StepFailed
from examples.longyizhen.story import Story
from sandbox.client import ReviewClient
from sandbox.messages import RunAnswer


def tell_program(road: Road, story: Story, papers: Papers) -> RunAnswer:
    """Held, looked at, approved; and one that picks a person, rejected. Returns the released answer.

    Raises `StepFailed`.
    """
    hospital = road.hospitals[0]
    agreement = road.agreements[hospital.member.key].id
    road.order(hospital, agreement, PROGRAM_FORMAT, 2)
    transfer = road.open_transfer(hospital, agreement, PROGRAM_FORMAT)
    added = hospital.client.airlock.add_reviewer(cast.REVIEWER)
    reviewer = ReviewClient(hospital.service.url, str(added.token))

    run = _held(road, transfer, cast.PROGRAM)
    seen = reviewer.look(run)
    look = [rule["rule"] for rule in seen.report if not rule["passed"]]
    story.fact(
        f"a program of {len(cast.PROGRAM.splitlines())} lines ran in isolation and is held; {cast.REVIEWER} sees its "
        f"text, its outputs, and {len(seen.report)} rules, {len(look)} of which say: look ({', '.join(look) or 'none'})"
    )
    reviewer.vote(run, "approve", "Groups of hundreds; a mean and a slope, no single person.")
    answer = road.planner.client.run(transfer, cast.PROGRAM, run=run)
    if answer.verdict != "released" or answer.receipt is None:
        raise StepFailed(f"the program was not released: {answer.reasons}")
    table, model = answer.outputs
    story.table("released after review 审核后放行", [one["name"] for one in table["columns"]], table["rows"])
    terms = ", ".join(f"{one['name']} {one['coefficient']} ± {one['error']}" for one in model["terms"])
    story.fact(f"{model['family']} model of {model['outcome']} over {model['n']} persons: {terms}")
    said = answer.receipt["document"]
    digests = f"program {said['program']['digest'][:15]}…, environment {said['program']['environment'][:15]}…"
    story.fact(f"receipt: {digests}; {said['review']['outcome']}, {said['review']['votes']} vote")
    papers.keep("answers/program", answer.to_json(), cast.PROGRAM)

    picked = _held(road, transfer, cast.PICKING)
    reviewer.vote(picked, "reject", "Line 4 takes the most frequent visitor; that is one person.")
    refused = road.planner.client.run(transfer, cast.PICKING, run=picked)
    if refused.verdict != "refused":
        raise StepFailed("a program that picks a person was released")
    reason = refused.reasons[0]
    story.refusal(f"a program whose “mean” is one person\n      [dim]{reason.code}: {reason.message}[/dim]")
    return answer


def _held(road: Road, transfer: str, program: str) -> str:
    run = f"urn:uuid:{uuid.uuid4()}"
    answer = road.planner.client.run(transfer, program, run=run)
    if answer.verdict != "held" or answer.outputs:
        raise StepFailed(f"the program was not held: {answer}")
    return run
