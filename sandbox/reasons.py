"""Why something may not be asked, or not be released: reasoned values, which travel in answers and receipts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason. The code is for programs and stable; the message says what, by which rule, and the way out.

    A message may name columns, functions and rules. It never carries a value out of the data.
    """

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        """As it stands in answers and receipts."""
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True)
class Refusal:
    """The answer is no, for these reasons (at least one)."""

    reasons: tuple[Reason, ...]


class Refused(Exception):
    """Carries reasons up to where they become a `Refusal`; it never leaves this package."""

    def __init__(self, *reasons: Reason) -> None:
        super().__init__(", ".join(reason.code for reason in reasons))
        self.reasons = reasons


# In every lane, and before any.
NOT_NAMED = Reason(
    "sandbox.not-a-named-analyst",
    "this product answers the analysts whom its provider named in its signed policy, and you are none of them; ask the "
    "provider to name your DID there in the product's next version",
)
