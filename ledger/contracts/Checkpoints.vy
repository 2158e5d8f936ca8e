# pragma version ~=0.4.3
# pragma evm-version paris
"""
@title Checkpoints of a transparency log
@license Apache-2.0
@author Hexi
@notice One signed tree head of the log per record: the number
        of entries and the Merkle root over them. Sizes only
        grow, and a record is never changed, so that whoever
        holds a root from here can demand the log that fits it.
@dev WARNING: The contract cannot tell whether a root is right.
     It witnesses what the owner said and when; the log's own
     proofs tie two roots together.
"""


event Published:
    size: indexed(uint256)
    root: bytes32


# @notice Who may publish. Set once, at deployment.
owner: public(address)


# @notice The size of the newest checkpoint, 0 before the first.
latest: public(uint256)


# @notice The root published for a size, empty if none was.
root_of: public(HashMap[uint256, bytes32])


@deploy
def __init__():
    """
    @notice The deployer becomes the owner.
    """
    self.owner = msg.sender


@external
def publish(size: uint256, root: bytes32):
    """
    @notice Record a checkpoint.
    @param size The number of entries; greater than any before.
    @param root The Merkle root over them; never empty.
    """
    assert msg.sender == self.owner, "checkpoints: not the owner"
    assert size > self.latest, "checkpoints: size must grow"
    assert root != empty(bytes32), "checkpoints: empty root"
    self.latest = size
    self.root_of[size] = root
    log Published(size=size, root=root)
