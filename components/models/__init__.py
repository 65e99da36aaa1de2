"""Models: slices or features in, one signal a slice out."""
