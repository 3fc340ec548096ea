"""One self-contained HTML page: tables, curves, heat maps, what each query returns, and the configuration of every run.

    python -m figures.report --runs=runs --out=out      # out/report.html

The page loads nothing from elsewhere. Tables hold every code length; the pictures are drawn at 32 bits, or at the largest code
length of a data set without a run at 32 (`--bits` chooses another).
"""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import Any

from dseh_tf.retrieval import Report
from dseh_tf.runs import Run
from figures import (
    ablation_table,
    cli,
    code_correlation,
    code_health,
    map_table,
    pr_curve,
    precision_at_n,
    seconds_table,
    semantic_features,
    style,
    tables,
    top5k_table,
    top_ten,
    training_curves,
)
from figures.runs import Runs

PICTURE_BITS = 32
STYLE_SHEET = Path(__file__).with_name("report.css")
FIGURES = {
    "Precision and recall": (pr_curve.draw, "One point a Hamming radius, all queries and seeds pooled."),
    "Precision at N": (precision_at_n.draw, "Mean over queries and seeds, expectation over tied items."),
    "Code correlation": (code_correlation.draw_matrices, "|correlation| of every two bits over the database codes."),
    "Semantic features": (
        semantic_features.draw,
        "100 training rows by their first principal components; PCA fitted on all training rows, each network's on its own.",
    ),
    "Training": (training_curves.draw, "Every loss term; faint: each step, strong: running mean."),
}
RUN_HEADINGS = ("Run", "Data set", "Method", "Bits", "Preset", "Seed", "Train / query / database", "MAP", "Training")
WIDE_FIGURES = ("Code correlation", "Semantic features", "Training")


def draw(runs: Runs, out: Path) -> list[Path]:
    """Writes `out/report.html`."""
    health = code_health.section(runs)
    sections = [_overview(runs), _tables(runs), health]
    for dataset in runs.datasets:
        here = _picture_runs(runs.of(dataset=dataset))
        title = f"{style.dataset_title(dataset)}, {here.bits[0]} bits"
        sections.append(
            f'<section><h2 id="{_anchor(dataset)}">{_text(title)}</h2>{_figures(here)}{_top_ten(here)}</section>'
        )
    sections.append(_configuration(runs))
    navigation = "".join(
        f'<a href="#{anchor}">{_text(name)}</a>'
        for anchor, name in [
            ("tables", "Tables"),
            *([("health", "Code health")] if health else []),
            *((_anchor(d), style.dataset_title(d)) for d in runs.datasets),
            ("configuration", "Configuration"),
        ]
    )
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Hashing report</title>'
        f"<style>{STYLE_SHEET.read_text(encoding='utf-8')}</style></head><body>"
        f"<header><h1>Learning to hash: results</h1><nav>{navigation}</nav></header>"
        f"<main>{''.join(sections)}</main></body></html>\n"
    )
    return [tables.write_text(out / "report.html", page)]


def _picture_runs(runs: Runs) -> Runs:
    """The runs of the one code length that is pictured."""
    return runs.of(bits=PICTURE_BITS if PICTURE_BITS in runs.bits else runs.bits[-1])


def _overview(runs: Runs) -> str:
    unfinished = [problem for problem in runs.problems if problem.unfinished]
    skipped = [problem for problem in runs.problems if not problem.unfinished]
    parts = [
        f"<p><strong>{len(runs)}</strong> finished run{_s(len(runs))} · {_count(len(runs.datasets), 'data set')} · "
        f"{_count(len({run.method for run in runs}), 'method')} · "
        f"code length{_s(len(runs.bits))} {', '.join(map(str, runs.bits))}</p>"
    ]
    for name, problems in (("Unfinished", unfinished), ("Skipped", skipped)):
        if problems:
            lines = "".join(
                f"<li><code>{_text(p.folder.name)}</code>: {_text(_reason(p.reason, runs))}</li>" for p in problems
            )
            parts.append(f"<h3>{name} run folders</h3><ul class=notes>{lines}</ul>")
    if runs.notes:
        parts.append("<h3>Differences between runs</h3><ul class=notes>")
        parts.append("".join(f"<li>{_text(note)}</li>" for note in runs.notes) + "</ul>")
    return f"<section>{''.join(parts)}</section>"


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{_s(number)}"


def _reason(reason: str, runs: Runs) -> str:
    """The reason without the path of the machine that drew the page."""
    return reason.replace(f"{runs.root}/", "")


def _tables(runs: Runs) -> str:
    parts = ['<section><h2 id="tables">Tables</h2>']
    for build in (map_table.build, ablation_table.build, _top5k, code_correlation.build, seconds_table.build):
        parts += [f"<h3>{_text(table.title)}</h3>{tables.to_html(table)}" for table in build(runs)]
    return "".join(parts) + "</section>"


def _top5k(runs: Runs) -> list[tables.Table]:
    """The Top-5K tables, without those that would only repeat MAP."""
    return top5k_table.build(runs.ranked().where(lambda run: Report(run.counts).database_size > top5k_table.RETURNED))


def _figures(runs: Runs) -> str:
    parts = []
    with TemporaryDirectory() as folder, style.formats("png"):
        for name, (draw_figure, caption) in FIGURES.items():
            images = [path for path in draw_figure(runs, Path(folder)) if path.suffix == ".png"]
            if not images:
                continue
            shown = "".join(f'<img alt="{_text(_alternative(name, path))}" src="{_png_uri(path)}">' for path in images)
            wide = " wide-figure" if len(images) > 1 or name in WIDE_FIGURES else ""
            wide += " several" if len(images) > 1 else ""
            parts.append(
                f'<figure class="plot{wide}"><div class=paper>{shown}</div>'
                f"<figcaption>{_text(caption)}</figcaption></figure>"
            )
    return f"<div class=plots>{''.join(parts)}</div>"


def _alternative(name: str, path: Path) -> str:
    return f"{name}: {path.stem.replace('_', ' ')}"


def _png_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _top_ten(runs: Runs) -> str:
    found = top_ten.queries(runs)
    if not found:
        return ""
    parts = [
        "<h3>The ten nearest images</h3><p class=key>"
        '<span class="mark right">✓</span> shares a label with the query · <span class="mark wrong">✗</span> shares none · '
        "the small number is the Hamming distance · ties in database order</p>"
    ]
    for query in found:
        rows = "".join(
            f"<div class=method>{_text(title)}<small>{sum(a.right for a in answers)} of {len(answers)} right</small></div>"
            f"<div class=answers>{''.join(_answer(answer) for answer in answers)}</div>"
            for title, answers in query.answers.items()
        )
        parts.append(
            f"<article class=query><div class=asked>{_image(query.item, 'query') if query.item.source else ''}"
            f"<p><strong>Query</strong><br><code>{_text(query.item.name)}</code><br>{_text(_classes(query.item))}</p></div>"
            f"<div class=rows>{rows}</div></article>"
        )
    return "".join(parts)


def _answer(answer: top_ten.Answer) -> str:
    kind, symbol = ("right", "✓") if answer.right else ("wrong", "✗")
    told = f"{answer.item.name}, {_classes(answer.item)}, distance {answer.distance}, {kind}"
    return (
        f'<div class="answer {kind}" title="{_text(told)}">{_image(answer.item, told)}'
        f'<span class="mark {kind}">{symbol}</span><span class=distance>{answer.distance}</span></div>'
    )


def _image(item: top_ten.Picture, told: str) -> str:
    if item.source:
        return f'<img alt="{_text(told)}" src="{item.source}">'
    return f"<div class=placeholder>{_text(item.name)}<br>{_text(_classes(item))}</div>"


def _classes(item: top_ten.Picture) -> str:
    if not item.classes:
        return "no label"
    shown = ", ".join(map(str, item.classes))
    named = isinstance(item.classes[0], str)
    return shown if named else f"label{'s' if len(item.classes) > 1 else ''} {shown}"


def _configuration(runs: Runs) -> str:
    head = "".join(f"<th>{name}</th>" for name in RUN_HEADINGS)
    ordered = sorted(
        runs, key=lambda r: (runs.datasets.index(r.dataset), *style.method_order(r.method), r.preset, r.bits, r.seed)
    )
    rows = "".join(_run_row(run) for run in ordered)
    details = "".join(
        f"<details><summary><code>{_text(run.folder.name)}</code></summary><pre>{_text(_settings(run))}</pre></details>"
        for run in ordered
    )
    return (
        f'<section><h2 id="configuration">Configuration</h2><div class="wide"><table class=cards><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div><h3>Every setting of every run</h3>{details}</section>"
    )


def _run_row(run: Run) -> str:
    sizes = " / ".join(f"{run.result[n]:,}" if n in run.result else "–" for n in ("n_train", "n_query", "n_database"))
    seconds = run.result.get("train_seconds")
    cells = [
        run.dataset, style.method_style(run.method).title, str(run.bits), run.preset or "–", str(run.seed), sizes,
        f"{run.result['map']:.4f}" if run.has_ranking else "labels only", "–" if seconds is None else _duration(seconds),
    ]  # fmt: skip
    shown = "".join(
        f'<td data-label="{name}">{_text(cell)}</td>' for name, cell in zip(RUN_HEADINGS[1:], cells, strict=True)
    )
    return f"<tr><th scope=row><code>{_text(run.folder.name)}</code></th>{shown}</tr>"


def _duration(seconds: float) -> str:
    """`48 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _settings(run: Run) -> str:
    """Configuration and result as JSON, without folders of the machine that ran it: a report is passed on.

    Of other paths (a trunk's file, its weights, lists of classes) the file's name is kept.
    """
    places = ("workdir", "data_dir", "lists_dir", "images_root", "images", "folder")
    config = {name: value for name, value in run.config.items() if name not in places}
    return json.dumps(_without_folders({"config": config, "result": run.result}), indent=2, ensure_ascii=False)


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return PureWindowsPath(value).name  # knows both kinds of slash
    return value


def _anchor(dataset: str) -> str:
    return "data-" + style.file_name(dataset)


def _text(value: str) -> str:
    return html.escape(value, quote=True)


if __name__ == "__main__":
    cli.program(draw, needs=("codes", "semantic_features", "losses", "thumbnails"))
