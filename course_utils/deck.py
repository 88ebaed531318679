"""What the deck says, and what is measured for it: each statement, table and figure.

They stand in deck.toml and not in the lectures, so that no lecture can move its own goal.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

EFFECTS = ("effect", "figure", "interpretation")


@dataclass(frozen=True)
class Claim:
    """One statement, table or figure of the deck, and what is measured for it.

    `slide` is the deck's heading, `says` the deck's words, shortened; `measures` names the
    statistic, `paper` what the paper printed for it. `null` says what is put in the effect's
    place to see what chance or doing nothing gives. An effect stands on the `side` (1 above,
    -1 below) of `no_effect`, the value that means none. `contradicted_by` says what would speak
    against the claim, `expected` the verdict that the course has found, and `predicts`, of an
    interpretation alone, what it predicts and its rival denies.

    kind: "theorem" (checked on cases), "check" (must hold of every case, but is no theorem),
    "effect" (a difference or a ratio), "table" (the order of its cells), "figure" (an effect, on
    several pictures), or "interpretation" (an effect that it predicts: the verdict is on the
    prediction, and says so).
    """

    id: str
    lecture: int
    slide: str
    kind: str
    says: str
    measures: str
    null: str
    contradicted_by: str
    paper: str = "-"
    expected: str = "reproduced"
    no_effect: float = 0.0
    side: int = 1
    digits: int = 1
    unit: str = " points"
    predicts: str = "-"

    def side_of(self, value: float) -> int:
        """1 where `value` lies above no effect, -1 below, 0 on it (up to rounding errors)."""
        difference = round(value - self.no_effect, 9)
        return (difference > 0) - (difference < 0)

    def format(self, value: float, *, sided: bool = True) -> str:
        """`value` with the claim's digits and unit; `sided`: more where rounding would mislead."""
        for digits in range(self.digits, 12):
            rounded = round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
            if not sided or self.side_of(rounded) == self.side_of(value):
                break
        return f"{rounded:.{digits}f}{self.unit}"


_TOLD = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
CLAIMS = MappingProxyType({id: Claim(id, **fields) for id, fields in _TOLD.items()})
