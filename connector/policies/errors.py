"""What can go wrong with terms. Every code has its heading in ``docs/reference/errors/connector-business.md``."""

from hexi.errors import Malformed


class PolicyInvalid(Malformed):
    """Terms that are not ODRL in the compact form of the Dataspace Protocol."""

    code = "connector.policy-invalid"
    title = "The policy cannot be read"


class ConstraintUnknown(PolicyInvalid):
    """An action, operand or operator that this connector cannot judge: unknown means no, so it is not published."""

    code = "connector.policy-unknown-constraint"
    title = "The policy says something that cannot be judged here"
