"""What became of the attacks of a test session, for the board printed at its end."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

# `held`: nothing left, and a person of the provider is shown the program and what it declared, before anything could.
REFUSED, BLOCKED, HELD, HARMLESS, THROUGH = "refused", "blocked", "held", "harmless", "through"
OUTCOMES = (REFUSED, BLOCKED, HELD, HARMLESS, THROUGH)


@dataclass
class Scoreboard:
    """By door and attack: how many tries came to what. `points` are those gained over the guess, where measured."""

    tries: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    points: dict[tuple[str, str], float] = field(default_factory=dict)

    def count(self, door: str, attack: str, outcome: str, points: float | None = None) -> None:
        """One try."""
        self.tries[door, attack][outcome] += 1
        if points is not None:
            self.points[door, attack] = max(points, self.points.get((door, attack), points))

    def lines(self) -> list[str]:
        """The board."""
        shown = [f"{'door':<11} {'attack':<58} " + " ".join(f"{name:>8}" for name in OUTCOMES) + "  points"]
        for (door, attack), found in self.tries.items():
            counts = " ".join(f"{found[name] or '':>8}" for name in OUTCOMES)
            gained = self.points.get((door, attack))
            shown.append(f"{door:<11} {attack:<58} {counts}" + ("" if gained is None else f"  {gained:+.1f}"))
        through = sum(found[THROUGH] for found in self.tries.values())
        tried = sum(sum(found.values()) for found in self.tries.values())
        return [*shown, f"{tried} tries, {through} through"]


BOARD = Scoreboard()
