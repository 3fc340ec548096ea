"""MIRFLICKR-25K: 25,000 photographs with 24 classes and 1,386 tags."""
