"""What experiments.serve is made of: `app` answers requests, `served` holds an index with its model and pictures."""
