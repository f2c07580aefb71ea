"""APPS: answers that a shop wants, made of what training left and of what shoppers did. No torch."""
