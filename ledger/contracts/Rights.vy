# pragma version ~=0.4.3
# pragma evm-version paris
"""
@title Registered rights to data products
@license Apache-2.0
@author Hexi
@notice One record per rights certificate: digests of its number,
        of the product and of the signed certificate, and which
        rights it grants. Nothing here can be read back into a
        name, a person or a datum.
@dev Rights are a bit mask: 1 holding, 2 processing and use,
     4 product operation. A revoked certificate keeps its record
     and can never be registered again.
"""


event Registered:
    certificate: indexed(bytes32)
    product: indexed(bytes32)
    document: bytes32
    rights: uint256


event Revoked:
    certificate: indexed(bytes32)


# @dev One more than the greatest mask of known rights.
_RIGHTS_END: constant(uint256) = 8


struct Right:
    product: bytes32
    document: bytes32
    rights: uint256
    registered_at: uint256
    revoked_at: uint256


# @notice Who may register. Set once, at deployment.
owner: public(address)


# @notice The record of a certificate; all zero if there is none.
right_of: public(HashMap[bytes32, Right])


@deploy
def __init__():
    """
    @notice The deployer becomes the owner.
    """
    self.owner = msg.sender


@external
def register(
    certificate: bytes32,
    product: bytes32,
    document: bytes32,
    rights: uint256,
):
    """
    @notice Record a certificate, once and for all.
    @param certificate The SHA-256 of the certificate's number.
    @param product The SHA-256 of the product's identifier.
    @param document The SHA-256 of the signed certificate.
    @param rights The mask of granted rights; not empty.
    """
    assert msg.sender == self.owner, "rights: not the owner"
    assert rights != 0 and rights < _RIGHTS_END, "rights: unknown rights"
    assert document != empty(bytes32), "rights: empty document"
    assert self.right_of[certificate].registered_at == 0, "rights: registered already"
    self.right_of[certificate] = Right(
        product=product,
        document=document,
        rights=rights,
        registered_at=block.timestamp,
        revoked_at=0,
    )
    log Registered(certificate=certificate, product=product, document=document, rights=rights)


@external
def revoke(certificate: bytes32):
    """
    @notice Mark a certificate as revoked, once and for all.
    @param certificate The SHA-256 of the certificate's number.
    """
    assert msg.sender == self.owner, "rights: not the owner"
    assert self.right_of[certificate].registered_at != 0, "rights: not registered"
    assert self.right_of[certificate].revoked_at == 0, "rights: revoked already"
    self.right_of[certificate].revoked_at = block.timestamp
    log Revoked(certificate=certificate)
