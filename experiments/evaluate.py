"""Reads a run folder's codes again and prints its numbers: every one from the codes alone, no network, no TensorFlow.

python -m experiments.evaluate --workdir=runs/x
"""

from __future__ import annotations

from pathlib import Path

from dseh_tf.errors import InputError
from dseh_tf.retrieval import code_health, load_codes
from experiments import health, program, run_folder
from experiments.results import metrics, reports, summary

_WORKDIR = program.DEFINE_path("workdir", None, "Run folder with config.json and codes.npz.", required=True)


def main(_: list[str]) -> None:
    workdir = Path(_WORKDIR.value)
    config = run_folder.read_json(workdir / "config.json")
    if config.get("phases") == "labnet" and not (workdir / "codes.npz").exists():
        raise InputError(f"{workdir}: found a run on labels alone, expected one with codes.npz")
    codes = load_codes(workdir / "codes.npz", bits=config.get("bits"))
    report, unseen = reports(
        codes.query_codes,
        codes.database_codes,
        codes.query_labels,
        codes.database_labels,
        codes.database_trained,
        codes.bits,
    )
    sizes = {"n_query": len(codes.query_ids), "n_database": len(codes.database_ids)}
    known = {name: config[name] for name in ("dataset", "method", "preset", "seed") if name in config}
    finished = (workdir / "result.json").exists()
    before = run_folder.read_json(workdir / "result.json") if finished else {}
    numbers = metrics(report, sizes["n_database"], unseen)
    measured = health.record({"database": code_health(codes.database_codes, codes.database_labels, codes.bits)})
    stored = before.get("code_health")
    numbers["code_health"] = {**stored, "database": measured["database"]} if stored else measured
    print(summary({**before, **known, "bits": codes.bits, **sizes, "n_train": before.get("n_train", "?"), **numbers}))
    recall, precision = report.precision_recall()
    print("  radius   recall  precision")
    for radius, (r, p) in enumerate(zip(recall, precision, strict=True)):
        print(f"  {radius:6d}   {r:.4f}  {p:.4f}" if p == p else f"  {radius:6d}   {r:.4f}  nothing retrieved")


if __name__ == "__main__":
    program.run(main)
