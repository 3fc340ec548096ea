"""NUS-WIDE: 269,648 photographs with 81 concepts and 1,000 tags."""
