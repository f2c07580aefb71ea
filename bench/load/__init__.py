"""Bounded load on a served home, from a process of its own: `make load`."""
