"""Ways to ask a model where it looked."""
