"""TRAIN: batches, optimiser, the loop, checkpoints. All randomness is a function of (seed, epoch, step)."""
