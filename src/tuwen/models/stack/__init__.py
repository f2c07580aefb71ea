"""The stack behind ``fusion: auto``: members over features that are not learned, and their combination.

Tensors in, tensors out; :mod:`tuwen.training.stack` fits it.
"""
