"""Cost models: what trading costs, the same object for sizing orders and for pricing fills."""
