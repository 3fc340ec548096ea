"""Renders the templates in `figures/templates/`. Every value is escaped: names come from files and are not trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,  # a misspelt name is an error, not an empty text
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """The text of a template, given its values."""
    return _environment.get_template(template).render(values)
