"""APPS: answers a shop wants. They ask an index or a bundle; no torch."""
