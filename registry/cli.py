"""``hexi registry``: look around in a space, and, for its operator, decide who takes part."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Annotated

import typer

from hexi.canonical import Json, pretty, system_clock
from hexi.errors import Malformed
from registry import identifiers
from registry.client import RegistryClient
from registry.identity import Identity, did_web
from registry.messages import ParticipantMessage
from registry.participants import Participant, ParticipantStatus
from registry.presentation import present

app = typer.Typer(
    no_args_is_help=True,
    help="Participants, identifiers and the catalogue of a space.\n\n"
    "Everybody may search and look participants up. Deciding on applications and revoking memberships takes the "
    "operator's key, which lies in the space's home folder.\n\n参与方、统一标识与数据目录。",
)
identifier_commands = typer.Typer(no_args_is_help=True, help="Unified identifiers (统一目录标识).")
app.add_typer(identifier_commands, name="identifiers")

Url = Annotated[
    str, typer.Option("--url", envvar="HEXI_SPACE_URL", help="The space's address, e.g. http://127.0.0.1:8080.")
]
Home = Annotated[
    Path,
    typer.Option("--home", envvar="HEXI_SPACE_HOME", help="The space's home folder, with the operator's identity.pem."),
]
Did = Annotated[str, typer.Option("--did", help="The operator's DID, if it does not follow from --url.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table for people.")]
Reason = Annotated[str, typer.Option("--reason", help="Why. The one concerned can read it.")]

DEFAULT_URL = "http://127.0.0.1:8080"
# Where `hexi space init` makes the operator's key unless told otherwise.
DEFAULT_HOME = Path(".hexi-space")


@identifier_commands.command("check")
def check_identifier(
    code: Annotated[str, typer.Argument(help="The identifier, e.g. 591620000000000000X621000000001G.")],
    as_json: AsJson = False,
) -> None:
    """Check an identifier's form and check character, and say what it is made of. Exit code 2 if it does not hold.

    Needs no network. Whether the identifier was really given to somebody, the space's registry knows.
    """
    found = identifiers.check(code)
    parts = {
        "identifier": found.text,
        "kind": found.kind.name.lower().replace("_", "-"),
        "owner": found.owner,
        "place": found.place,
        "random": found.random,
        "checkCharacter": found.check_character,
        "extension": found.extension,
    }
    _print(parts, as_json, [(name, value) for name, value in parts.items() if value])


@app.command()
def applications(home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, did: Did = "", as_json: AsJson = False) -> None:
    """List applications for membership, the undecided first. For the operator."""
    with _operators_client(home, url, did) as registry:
        found = registry.applications()
    rows = [(a.state, a.id, a.did, a.name_zh, a.owner_code, ",".join(a.roles)) for a in found]
    _print([a.to_json() for a in found], as_json, rows)


@app.command()
def approve(
    application: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The application's id, from 'applications'.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody who has applied and waits.")] = False,
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    did: Did = "",
    as_json: AsJson = False,
) -> None:
    """Admit an applicant. It gets a unified identifier and a membership credential, and the ledger an entry."""
    if (application is None) is not everybody:
        raise Malformed("name one application, or say --all")
    with _operators_client(home, url, did) as registry:
        waiting = [found.id for found in registry.applications() if found.state is ParticipantStatus.APPLIED]
        states = [registry.approve(one) for one in ([application] if application else waiting)]
    _print(
        [state.to_json() for state in states] if everybody else states[0].to_json(),
        as_json,
        [(state.state, state.did, state.identifier or "") for state in states],
    )


@app.command()
def reject(
    application: Annotated[str, typer.Argument(metavar="ID", help="The application's id, from 'applications'.")],
    reason: Reason,
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    did: Did = "",
    as_json: AsJson = False,
) -> None:
    """Turn an applicant away. It may apply anew."""
    with _operators_client(home, url, did) as registry:
        state = registry.reject(application, reason)
    _print(state.to_json(), as_json, [(state.state, state.did)])


@app.command()
def revoke(
    participant: Annotated[str, typer.Argument(metavar="DID", help="The participant's DID, from 'participants'.")],
    reason: Reason,
    home: Home = DEFAULT_HOME,
    url: Url = DEFAULT_URL,
    did: Did = "",
    as_json: AsJson = False,
) -> None:
    """End a membership for good: calls are refused within seconds, products leave the catalogue."""
    with _operators_client(home, url, did) as registry:
        _print_participants([registry.revoke(participant, reason)], as_json)


@app.command()
def participants(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List everybody who is or was a participant. Public."""
    with closing(RegistryClient(url)) as registry:
        _print_participants(registry.participants(), as_json)


@app.command()
def search(
    query: Annotated[
        str, typer.Argument(help="Words in Chinese or English; all must occur. Empty lists everything.")
    ] = "",
    theme: Annotated[str | None, typer.Option(help="Theme code; C0000 finds all below it.")] = None,
    region: Annotated[str | None, typer.Option(help="Region code, four figures, e.g. 6210.")] = None,
    provider: Annotated[str | None, typer.Option(help="The provider's DID.")] = None,
    mode: Annotated[str | None, typer.Option(help="sandbox-sql or encrypted-sum.")] = None,
    personal: Annotated[
        bool | None, typer.Option("--personal/--no-personal", help="Only with, or only without personal data.")
    ] = None,
    facets: Annotated[bool, typer.Option("--facets", help="Also say how the results divide.")] = False,
    offset: Annotated[int, typer.Option(help="Skip so many results.")] = 0,
    limit: Annotated[int, typer.Option(help="Show at most so many.")] = 20,
    after: Annotated[
        int | None, typer.Option(help="Show the page after this one: its `next`, told at its end.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Search the catalogue of data products. Public.

    Example: hexi registry search 医保 --theme C0000 --mode sandbox-sql --facets
    """
    with closing(RegistryClient(url)) as registry:
        found = registry.search(
            query,
            theme=theme,
            region=region,
            provider=provider,
            mode=mode,
            personal=personal,
            offset=offset,
            limit=limit,
            facets=facets,
            after=after,
        )
    answer = found.to_json() if facets else {k: v for k, v in found.to_json().items() if k != "facets"}
    rows = [
        (item["identifier"], f"v{item['version']}", item["title"]["zh"], item["title"]["en"]) for item in found.items
    ]
    _print(answer, as_json, rows)
    if as_json:
        return
    for facet, values in found.facets.items() if facets else ():
        typer.echo(f"{facet}: " + ", ".join(f"{(v.label or {}).get('zh', v.value)} {v.count}" for v in values))
    if found.total is not None:
        typer.echo(f"{'' if found.exact else 'about '}{found.total} found", err=True)
    if found.next is not None:
        typer.echo(f"more with --after {found.next}", err=True)


def _operators_client(home: Path, url: str, did: str) -> AbstractContextManager[RegistryClient]:
    # The DID follows from the address that the operator typed, never from what answers there.
    identity = Identity.load(home, did or did_web(url))
    return closing(RegistryClient(url, authorise=lambda: present(identity, identity.did, None, system_clock)))


def _print_participants(found: Iterable[Participant], as_json: bool) -> None:
    messages = [ParticipantMessage.of(participant) for participant in found]
    rows = [(m.status, m.did, m.identifier, m.name_zh, ",".join(m.roles)) for m in messages]
    _print([m.to_json() for m in messages], as_json, rows)


def _print(value: Json, as_json: bool, rows: Sequence[Sequence[str]]) -> None:
    if as_json:
        typer.echo(pretty(value))
        return
    for row in rows:
        typer.echo("  ".join(row))
