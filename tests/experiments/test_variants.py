"""DSEH's ablations run from the command line."""

from __future__ import annotations


def test_labels_alone(run, label_lists, tmp_path, result):
    """-S is DSEH on the label side, -SS and -L are not; -A takes --labnet_epochs for its one round."""
    found = {}
    for method in ("dseh", "dseh_s", "dseh_ss", "dseh_l", "dseh_a"):
        run(
            f"--method={method}", "--preset=release", "--dataset=image_lists", f"--lists_dir={label_lists}", "--phases=labnet",
            "--bits=8",
            "--set=labnet_width=32", "--set=feature_dim=16", "--set=labnet_weight_size=0.3",
            "--set=labnet_learning_rate=0.01", "--labnet_epochs=40", f"--workdir={tmp_path / method}",
        )  # fmt: skip
        found[method] = result(tmp_path / method)
        assert found[method]["method"] == method
        assert {"map_labels", "distinct_label_codes"} <= set(found[method])
    assert found["dseh_s"]["map_labels"] == found["dseh"]["map_labels"] == found["dseh_a"]["map_labels"]
    assert len({found[m]["map_labels"] for m in ("dseh", "dseh_ss", "dseh_l")}) == 3


def test_in_the_suite_one_part_makes_the_difference():
    """Also on ImageNet, whose row of the release has no J1 in LabNet, under both presets."""
    from dataclasses import asdict

    from dseh_tf.methods import METHODS
    from experiments import suites
    from figures.ablation_table import OWN

    table2 = suites.load("table2")
    rows = {"nus_wide_21": "nus_wide", "imagenet_100": "imagenet", "ms_coco": "ms_coco"}
    for preset in ("release", "paper"):
        for dataset in table2.datasets:
            settings = {}
            for run in table2.runs(table2.rows, [dataset], seeds=[0]):
                given = run.options.settings
                method = METHODS[run.method](32, preset=preset, preset_dataset=rows[dataset], **given)
                settings[run.method] = asdict(method.settings)
            whole = settings.pop("dseh")
            for method, found in settings.items():
                unlike = {name for name in whole if found[name] != whole[name]}
                assert unlike and unlike <= OWN[method], (preset, dataset, method)
