"""Who learns, when, and how fast: strategies.py turns a strategy into a plan."""
