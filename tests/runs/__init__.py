"""Run folders. `format_1` holds two that were written before `config.json` had a format number."""

from pathlib import Path

FORMAT_1 = Path(__file__).parent / "format_1"
