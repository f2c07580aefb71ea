"""EVALUATE: metrics, intervals, comparison, report. It sees tables of predictions, never a model."""
