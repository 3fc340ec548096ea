"""One batch of a phase, on one device."""

from __future__ import annotations


def terms_of(phase, batch):
    """The loss terms of a batch that one device has whole."""
    return phase.loss(phase.forward(batch), batch)
