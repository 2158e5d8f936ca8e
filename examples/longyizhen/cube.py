"""A product that is answered from a published cube, in one breath: dry run, refusal, release, receipt."""

from typing import Any

from examples.longyizhen import cast
from examples.longyizhen.report import Papers, answer_text, yuan
from examples.longyizhen.scenario import SQL_FORMAT, Road, StepFailed
from examples.longyizhen.story import Story
from sandbox.messages import RunAnswer


def tell_cube(road: Road, story: Story, papers: Papers) -> RunAnswer:
    """What the planner sees before it orders, and what it gets. Returns the answer, whose receipt goes to the bundle.

    Raises `StepFailed`.
    """
    hospital, product = road.hospitals[0], road.products[cast.CUBE].identifier
    listing, jobs = road.listings[cast.CUBE], road.planner.client.jobs
    before = jobs.dry_run(product, cast.CUBE_QUESTION)
    if before.verdict != "admissible":
        raise StepFailed(f"the dry run refused the planner's question: {before.reasons}")
    if before.price is None or before.price.amount != listing.unit_price_fen:
        raise StepFailed(f"the dry run names another price than the market: {before.price or before.price_unknown}")
    errors = ", ".join(f"{error.column} ± {error.half_width:g}" for error in before.errors)
    story.fact(
        f"dry run, before anything is agreed: {cast.CUBE_QUESTION}\n      admissible; 95 % of answers within {errors}; "
        f"{yuan(listing.unit_price_fen)} a run; {before.run_time.partition(';')[0]}"
    )
    too_fine = jobs.dry_run(product, cast.TOO_FINE)
    if too_fine.verdict != "refused":
        raise StepFailed(f"this should have been refused: {cast.TOO_FINE}")
    reason = too_fine.reasons[0]
    story.refusal(f"{cast.TOO_FINE}\n      [dim]{reason.code}: {reason.message}[/dim]")
    twin = jobs.twin(product)
    story.fact(f"a synthetic twin to try it on: {twin.rows['visits']} rows, drawn from the {twin.source}")
    agreement = road.negotiate(hospital, cast.CUBE)
    road.order(hospital, agreement, SQL_FORMAT, 1, cast.CUBE)
    road.open_transfer(hospital, agreement, SQL_FORMAT, cast.CUBE)
    answer = road.ask_later(cast.CUBE, cast.CUBE_QUESTION)
    if answer.verdict != "released" or answer.receipt is None:
        raise StepFailed(f"the cube did not answer: {answer.reasons}")
    papers.keep(f"dry-runs/{cast.CUBE}", before.to_json(), errors)
    papers.keep(f"answers/{cast.CUBE}", answer.to_json(), answer_text(answer.to_json()))
    story.table("released with its 95 % interval 放行，附置信区间", *_with_intervals(answer))
    story.fact(_receipt(answer.receipt["document"]))
    return answer


def _with_intervals(answer: RunAnswer) -> tuple[list[str], list[list[object]]]:
    """Each number with the ends of its interval in one cell."""
    columns, rows = list(answer.columns), [list(row) for row in answer.rows]
    names = [name for name in columns if not name.endswith(("_low", "_high"))]
    places = [columns.index(name) for name in names]
    shown: list[list[object]] = [
        [
            f"{row[at]} [{row[at + 1]}; {row[at + 2]}]" if f"{names[number]}_low" in columns else row[at]
            for number, at in enumerate(places)
        ]
        for row in rows
    ]
    return names, shown


def _receipt(document: dict[str, Any]) -> str:
    terms = document["disclosure"]
    budget = ", ".join(f"{one['family']} {float(one['mu']):.2f} of {float(one['cap']):.2f}" for one in terms["budget"])
    return (
        f"receipt: lane {terms['lane']}, policy {terms['policy'][:15]}…, plan {terms['plan'][:15]}…, output "
        f"{document['output'][:15]}…; the cube took mu {budget}, once, however often it is asked"
    )
