"""Fitting a stack: features as matrices, members out of fold, and how they are combined."""
