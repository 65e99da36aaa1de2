"""Feature sets: slices in, features out, once for all models that name them."""
