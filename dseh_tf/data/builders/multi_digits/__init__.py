"""multi_digits: handwritten digits on coloured canvases, with tags."""
