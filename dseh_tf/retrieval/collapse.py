"""Decides whether codes have collapsed or bits are dead, and describes it in one line.

The criteria are chosen so that healthy codes do not meet them by chance, even with 16 bits, several labels per row or
few classes; `findings` lists them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from dseh_tf.retrieval.health import CodeHealth

DEAD_SHARE = 0.9  # of the units of a semantic layer
COPIES = 0.9  # mean |correlation| of bits that copy each other
CHANCE = 1e-3  # what random codes show more often than this is no sign of a collapse
_LEADS = {"codes": "codes have collapsed", "bits": "bits are dead", "units": "units are dead"}


@dataclass(frozen=True)
class Finding:
    """One sign of a collapse.

    Attributes:
        name: which criterion was met.
        what: "codes", "bits" or "units": what the warning begins with.
        size: how bad it is; larger is worse. Comparable between two findings of one name.
        text: a few words for the warning.
    """

    name: str
    what: str
    size: float
    text: str


def findings(health: CodeHealth, label_codes: bool = False, sampled: bool = False) -> list[Finding]:
    """The signs of a collapse, in the order in which a warning names them.

    Let c be the number of classes, V of label vectors, and S = (1 + 2^-K) / 2, slightly more than half. "Improbable" is
    what random codes, one per label vector, show less often than once in 1,000 (by the tail of a Poisson distribution).

    - few: fewer distinct codes than half of min(c, V, 2^K), or one code for several label vectors. With several labels
      per row, V is no measure: on such data V / 5 codes are healthy. Separating the classes is the least that is asked.
    - shared (label codes only): an improbable number of classes of single-label data have the code of another one.
      c (c - 1) / 2^(K + 1) are expected; with 20 classes and 18 bits or more, one is a finding.
    - top: one code holds more than S of the rows, and no class and no label vector does.
    - copies (unless few): the mean |correlation| of bits is above .9 with at least four classes, none of which holds more
      than .9 of the rows.
    - constant: an improbable number of constant bits. K 2^(1 - V) are expected: half of the bits with two classes; with
      20 label vectors and at most 500 bits, one is a finding.
    - nearly_constant: more than half of the bits have one value in 99 % of the rows, and no class or label vector does.
    - units: more than 90 % of the units are dead, and fewer than c are alive: c classes without a common label need as
      many units to be orthogonal in features that are not negative.

    Args:
        health: of the codes.
        label_codes: whether these are a function of the label vector, such as LabNet's. The code of a label vector of
            images may equal another one's without a collapse (LSH on features that hardly separate the classes).
        sampled: whether these are a few hundred of many rows. A bit that is constant in them may not be so in all;
            `constant` is left out.
    """
    return [*_code_findings(health, label_codes), *_bit_findings(health, sampled), *_unit_findings(health)]


def _code_findings(health: CodeHealth, label_codes: bool) -> Iterable[Finding]:
    distinct, classes, vectors = health.distinct_codes, health.classes, health.label_vectors
    possible, share = 2**health.bits, (1 + 2.0**-health.bits) / 2
    shared = vectors - distinct
    least = min(classes, vectors, possible)
    few = 2 * distinct < least or distinct == 1 < vectors
    if few:
        yield Finding("few", "codes", -distinct, f"{_count(distinct, 'distinct code')} for {vectors:,} label vectors")
    elif label_codes and health.single_label and _improbable(shared, vectors * (vectors - 1) / 2 * 2.0**-health.bits):
        yield Finding("shared", "codes", shared, f"{distinct:,} distinct codes for {vectors:,} classes of one label")
    if health.top_code_share > share >= health.top_label_share and distinct > 1:
        yield Finding("top", "codes", health.top_code_share, f"one code holds {health.top_code_share:.0%} of the rows")
    mac = health.mean_correlation
    if not few and mac is not None and mac > COPIES >= health.top_label_share and classes >= 4:
        yield Finding("copies", "codes", mac, f"bits copy each other (mean correlation {mac:.2f})")


def _bit_findings(health: CodeHealth, sampled: bool) -> Iterable[Finding]:
    if health.label_vectors < 2 or health.rows < 2:
        return
    constant, nearly, bits = health.constant_bits, health.nearly_constant_bits, health.bits
    expected = bits * 2.0 ** (1 - min(health.label_vectors, 1000))
    if _improbable(constant, expected) and not sampled:
        yield Finding("constant", "bits", constant, f"{_count(constant, 'constant bit')} of {bits}")
    elif 2 * nearly > bits and health.top_label_share < 0.99 and _improbable(nearly, expected):
        yield Finding("nearly_constant", "bits", nearly, f"{nearly} of {bits} bits have one value in 99 % of the rows")


def _unit_findings(health: CodeHealth) -> Iterable[Finding]:
    units, dead = health.units, health.dead_units
    if units and dead is not None and dead > DEAD_SHARE * units and units - dead < health.classes:
        yield Finding("units", "units", dead, f"{dead} of {units} semantic units dead for {health.classes} classes")


def warning(found: Iterable[tuple[str, list[Finding]]], advice: str = "") -> str | None:
    """One line for all findings, or None if there are none.

    Args:
        found: (where, findings) pairs; `where` says which codes these are ("round 0, labnet, epoch 3").
        advice: what to try, added after a semicolon.

    Example: warning: codes have collapsed: 2 distinct codes for 100 label vectors (round 0, labnet, epoch 3); try ...
    """
    found = [(where, several) for where, several in found if several]
    if not found:
        return None
    kinds = {finding.what for _, several in found for finding in several}
    lead = next(text for what, text in _LEADS.items() if what in kinds)
    parts = [f"{', '.join(finding.text for finding in several)} ({where})" for where, several in found]
    return f"warning: {lead}: {'; '.join(parts)}" + (f"; {advice}" if advice else "")


def _improbable(number: int, expected: float) -> bool:
    """Whether a Poisson variable of that mean is at least `number` with a probability below `CHANCE`."""
    below = (
        sum(math.exp(i * math.log(expected) - expected - math.lgamma(i + 1)) for i in range(number))
        if expected
        else 1.0
    )
    return number > 0 and 1 - below < CHANCE


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
