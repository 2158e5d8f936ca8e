"""What PostgreSQL does in tables that it has not analysed yet: in the first minutes of every connector."""

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from connector.protocol import store
from connector.protocol.processes import Role
from hexi.database import Database

# Negotiations with one peer, each with an agreement of its own.
_MANY = """
    INSERT INTO connector_process (pid, kind, role, state, counterparty, callback_address, peer_pid, agreement_id,
        properties, reason, version, created, updated)
    SELECT n, 'negotiation', 'provider', 'FINALIZED', 'did:web:peer', '', 'theirs' || n, 'a' || n, '{}', '[]', 1, n, n
    FROM generate_series(1, 20000) AS n
"""


def test_the_negotiation_of_an_agreement_is_found_without_going_through_all_with_that_peer(
    two_postgresql: list[Database],
) -> None:
    sought = store._LOCK_NEGOTIATION_OF.params(agreement_id="a7", role=Role.PROVIDER, counterparty="did:web:peer")
    asked = sought.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    with two_postgresql[0].transaction() as session:
        session.connection().execute(text(_MANY))
        plan = "\n".join(session.connection().execute(text(f"EXPLAIN {asked}")).scalars())
    assert "using ix_connector_process_agreement" in plan, plan
