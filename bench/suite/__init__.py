"""Peers of tuwen on the supervised runs: what they are given, and how they answer."""
