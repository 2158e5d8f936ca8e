"""The committed contracts are the compiled sources, and they keep their promises."""

import pytest

from hexi.canonical import pretty
from hexi.errors import Malformed
from ledger.chain import Chain, compiled, rights_mask
from ledger.chain_record import call_data
from ledger.errors import ChainRefused
from tests.ledger.contracts import FOLDER, NAMES, compile_contract

OTHER_ACCOUNT = 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_is_what_compiles(name: str) -> None:
    """If this fails, run ``python -m tests.ledger.contracts``."""
    assert (FOLDER / f"{name}.json").read_text() == pretty(compile_contract(name)) + "\n"
    assert compiled(name)["contract"] == name


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain.in_process()


def test_checkpoints_grow_and_stay(chain: Chain) -> None:
    chain.publish_checkpoint(5, b"\x05" * 32)
    record = chain.publish_checkpoint(5, b"\x05" * 32)  # once more is the same once
    assert (record["size"], record["root"]) == (5, "0x" + "05" * 32)
    for size, root in ((5, b"\x06" * 32), (4, b"\x04" * 32)):
        with pytest.raises(ChainRefused):
            chain.publish_checkpoint(size, root)
    chain.publish_checkpoint(6, b"\x06" * 32)
    assert (chain.latest_size(), chain.root_at(5), chain.root_at(4)) == (6, b"\x05" * 32, None)


@pytest.mark.parametrize(("size", "root"), [(6, b"\x06" * 32), (3, b"\x06" * 32), (0, b"\x06" * 32), (99, bytes(32))])
def test_the_contract_itself_refuses(chain: Chain, size: int, root: bytes) -> None:
    """What our own code asks first, the contract checks for everybody."""
    chain.publish_checkpoint(6, b"\x06" * 32)
    with pytest.raises(ChainRefused):
        chain._send(chain.contracts.checkpoints, call_data("publish(uint256,bytes32)", size, root))


def test_rights_are_registered_once_and_revoked_once(chain: Chain) -> None:
    document = "sha256:" + "ab" * 32
    chain.register_right("SJ1", "product", document, ["holding", "processing-use"])
    chain.register_right("SJ1", "product", document, ["holding", "processing-use"])
    assert chain.right("SJ1") == bytes.fromhex("ab" * 32)
    assert chain.right("SJ2") is None
    with pytest.raises(ChainRefused):
        chain.register_right("SJ1", "product", "sha256:" + "cd" * 32, ["holding"])
    with pytest.raises(ChainRefused):
        chain.revoke_right("SJ2")
    chain.revoke_right("SJ1")
    with pytest.raises(ChainRefused):
        chain.revoke_right("SJ1")


def test_only_the_owner_writes(chain: Chain) -> None:
    at, evm = chain.contracts, chain._connected()
    own = evm._account  # type: ignore[attr-defined]
    evm._account = evm._tester.get_accounts()[OTHER_ACCOUNT]  # type: ignore[attr-defined]
    try:
        for to, data in (
            (at.checkpoints, call_data("publish(uint256,bytes32)", 1000, b"\x01" * 32)),
            (at.rights, call_data("register(bytes32,bytes32,bytes32,uint256)", 1, 1, 1, 1)),
            (at.rights, call_data("revoke(bytes32)", 1)),
        ):
            with pytest.raises(ChainRefused):
                chain._send(to, data)
    finally:
        evm._account = own  # type: ignore[attr-defined]
    assert chain.root_at(1000) is None


@pytest.mark.parametrize(
    ("rights", "mask"),
    [(["holding"], 1), (["processing-use"], 2), (["product-operation"], 4), (["holding", "product-operation"], 5)],
)
def test_masks(rights: list[str], mask: int) -> None:
    assert rights_mask(rights) == mask


@pytest.mark.parametrize("rights", [[], ["ownership"], ["holding", ""]])
def test_no_mask_for_other_rights(rights: list[str]) -> None:
    with pytest.raises(Malformed):
        rights_mask(rights)
