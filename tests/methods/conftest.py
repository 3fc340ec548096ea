"""Fits that the tests of methods share."""

from __future__ import annotations

from functools import cache

import pytest


@pytest.fixture(scope="session")
def whole(tf):
    """whole(name): one undisturbed small fit of a registered method."""
    from .small import fit

    return cache(fit)
