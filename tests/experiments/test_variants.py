"""DSEH's ablations run from the command line."""

from __future__ import annotations


def test_labels_alone(run, label_lists, tmp_path, result):
    """-S is DSEH on the label side, -SS and -L are not; -A takes --labnet_epochs for its one round."""
    found = {}
    for method in ("dseh", "dseh_s", "dseh_ss", "dseh_l", "dseh_a"):
        run(
            f"--method={method}", "--dataset=image_lists", f"--lists_dir={label_lists}", "--phases=labnet", "--bits=8",
            "--set=labnet_width=32", "--set=feature_dim=16", "--set=labnet_weight_size=0.3",
            "--set=labnet_learning_rate=0.01", "--labnet_epochs=40", f"--workdir={tmp_path / method}",
        )  # fmt: skip
        found[method] = result(tmp_path / method)
        assert found[method]["method"] == method
        assert {"map_labels", "distinct_label_codes"} <= set(found[method])
    assert found["dseh_s"]["map_labels"] == found["dseh"]["map_labels"] == found["dseh_a"]["map_labels"]
    assert len({found[m]["map_labels"] for m in ("dseh", "dseh_ss", "dseh_l")}) == 3
