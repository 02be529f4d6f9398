"""Measures of predictions, weighted, so that a bootstrap is a matrix of weights."""
