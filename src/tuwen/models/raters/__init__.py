"""Raters: who gave what to what, small models that each give a number, and their blend."""
