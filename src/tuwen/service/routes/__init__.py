"""The routes of a shop's service, by what they are for."""
