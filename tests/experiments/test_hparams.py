"""The columns of TensorBoard's HParams page for a suite."""

import json

from experiments import hparams


def run(folder, **config):
    folder.mkdir(parents=True)
    settings = config.pop("settings", {})
    (folder / "config.json").write_text(json.dumps({**config, "settings": settings}))


def test_columns_are_names_and_what_differs_within_a_method():
    runs = [
        {"dataset": "a", "method": "csq", "bits": 16, "seed": 0, "rate": 0.1, "batch": 64, "margin": [1, 2]},
        {"dataset": "a", "method": "csq", "bits": 32, "seed": 0, "rate": 0.2, "batch": 64, "margin": [1, 2]},
        {"dataset": "a", "method": "itq", "bits": 32, "seed": 0, "batch": 32},
    ]
    assert hparams.columns(runs) == ["dataset", "method", "bits", "seed", "rate"]
    assert hparams.columns([]) == []


def test_what_is_written_is_what_tensorboard_reads(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    run(tmp_path / "one", dataset="a", method="csq", bits=16, seed=0, settings={"rate": 0.1})
    run(tmp_path / "two", dataset="a", method="csq", bits=16, seed=0, settings={"rate": 0.2})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    for _ in range(2):  # a second suite in the folder replaces it
        hparams.write_experiment(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    content = events.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.EXPERIMENT_TAG]
    experiment = metadata.parse_experiment_plugin_data(content)
    assert [info.name for info in experiment.hparam_infos] == ["dataset", "method", "bits", "seed", "rate"]
    assert [info.name.tag for info in experiment.metric_infos] == ["map", "map_labels"]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
