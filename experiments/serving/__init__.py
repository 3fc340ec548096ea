"""The parts of experiments.serve: `app` answers requests, `served` holds an index with its model and pictures."""
