"""Attacks on a served home, each with its figure before: ``python -m attacks`` in ``scripts`` runs them."""
