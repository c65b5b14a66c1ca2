"""Regular two-level fractions 2^(k−p): some of the combinations of k factors, chosen to keep effects apart.

Letters name the factors, ``A`` to ``L`` without ``I``, which is the identity, as in the textbooks. A word
is a product of letters. The words whose product is the same in every run are the *defining relation*; the
shortest has as many letters as the *resolution*. Effects whose product is a defining word cannot be told
apart: they are *aliases*. At resolution IV no main effect is an alias of a two-way interaction; at
resolution V no two-way interaction is an alias of another either. Resolution III is not offered: its main
effects are aliases of two-way interactions, so that none of them could be reported.

Source: Box, Hunter & Hunter, "Statistics for Experimenters" (2nd ed., 2005), chapter 6; NIST/SEMATECH
e-Handbook of Statistical Methods, section 5.3.3.4.7.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import reduce
from operator import xor

from actrec.errors import StudyError

LETTERS = "ABCDEFGHJKL"
ROMAN = {3: "III", 4: "IV", 5: "V", 6: "VI", 7: "VII"}

# Resolution → factors → the columns of the last of them, as products of the columns of the first.
# With fewer factors nothing less than every combination has the resolution.
GENERATORS: dict[int, dict[int, str]] = {
    4: {
        4: "ABC",
        5: "ABCD",
        6: "ABC BCD",
        7: "ABC BCD ACD",
        8: "BCD ACD ABC ABD",
        9: "BCDE ACDE ABDE ABCE",
        10: "ABCD ABCE ABDE ACDE BCDE",
        11: "ABC BCD CDE ACD ADE BDE",
    },
    5: {
        5: "ABCD",
        6: "ABCDE",
        7: "ABCDEF",
        8: "ABCD ABEF",
        9: "ACDFG BCEFG",
        10: "ABCG BCDE ACDF",
        11: "ABCG BCDE ACDF ABCDEFG",
    },
}


@dataclass(frozen=True, slots=True)
class Fraction:
    """A fraction of the 2^k combinations of ``factors`` = k factors, by its generators.

    It is the fraction that has the run with every factor at its baseline. A baseline counts as −1, so a
    defining word of odd length is −1 in every run.
    """

    factors: int
    generators: tuple[str, ...]

    @property
    def runs(self) -> int:
        return 1 << (self.factors - len(self.generators))

    def levels(self) -> list[tuple[int, ...]]:
        """Each run's level of each factor: 0 its baseline, 1 its other level. All baselines come first."""
        columns = [_mask(generator) for generator in self.generators]
        found = []
        for basic in itertools.product((0, 1), repeat=self.factors - len(columns)):
            run = sum(bit << place for place, bit in enumerate(basic))
            found.append((*basic, *((run & column).bit_count() % 2 for column in columns)))
        return found

    def words(self) -> list[str]:
        """The defining relation without its signs, shortest words first; empty for all 2^k combinations."""
        return sorted(map(_word, self._masks()), key=_by_length)

    def resolution(self) -> int | None:
        """The length of the shortest defining word; None where every combination is run."""
        return min((len(word) for word in self.words()), default=None)

    def aliases(self) -> list[list[str]]:
        """Main effects and two-way interactions that cannot be told apart, a list for each such set.

        Their signs agree: words that join two interactions have an even number of letters.
        """
        singles = [1 << place for place in range(self.factors)]
        pairs = [one | other for one, other in itertools.combinations(singles, 2)]
        words = [0, *self._masks()]
        sets: dict[int, list[str]] = {}
        for effect in [*singles, *pairs]:
            sets.setdefault(min(effect ^ word for word in words), []).append(_word(effect))
        return [effects for effects in sets.values() if len(effects) > 1]

    def __str__(self) -> str:
        """E.g. ``2^(5-1) fraction of resolution V, 16 of 32 combinations, I = -ABCDE``."""
        if not self.generators:
            return f"all {self.runs} combinations"
        signed = [("-" if len(word) % 2 else "") + word for word in self.words()]
        shown = " = ".join(signed[:7]) + (" = …" if len(signed) > 7 else "")
        return (
            f"2^({self.factors}-{len(self.generators)}) fraction of resolution "
            f"{ROMAN[self.resolution() or 0]}, {self.runs} of {2**self.factors} combinations, I = {shown}"
        )

    def _masks(self) -> list[int]:
        """The defining words, each as the set of bits of its letters."""
        basic = self.factors - len(self.generators)
        each = [_mask(word) | 1 << (basic + place) for place, word in enumerate(self.generators)]
        return [
            reduce(xor, chosen)
            for size in range(1, len(each) + 1)
            for chosen in itertools.combinations(each, size)
        ]


def fraction(factors: int, resolution: int) -> Fraction:
    """The smallest regular fraction of ``factors`` two-level factors with at least that resolution (4 or 5).

    Raises:
        StudyError: with more factors than the table has.
    """
    if factors > len(LETTERS):
        raise StudyError(
            f"{factors} factors: there are fractions of at most {len(LETTERS)}; leave some out, or use "
            "design='one_at_a_time'"
        )
    return Fraction(factors, tuple(GENERATORS[resolution].get(factors, "").split()))


def _mask(word: str) -> int:
    """The letters of a word as a set of bits; the product of words is their exclusive or."""
    return sum(1 << LETTERS.index(letter) for letter in word)


def _word(mask: int) -> str:
    return "".join(letter for place, letter in enumerate(LETTERS) if mask >> place & 1)


def _by_length(word: str) -> tuple[int, str]:
    return len(word), word
