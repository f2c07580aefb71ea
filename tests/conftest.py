"""How every test is run. What several of them share is made in modules of its own: homes, shops, twofold, web."""

from __future__ import annotations

from hypothesis import settings

# No law is about time: the first example of a process loads tables, and a loaded machine is slow.
settings.register_profile("tuwen", deadline=None, print_blob=True)
settings.load_profile("tuwen")
