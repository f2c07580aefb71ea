"""INDEX: vectors and words in, neighbours out. Numpy in, numpy out; no torch, no tokeniser (terms come ready made)."""
