"""A run, and what surrounds it: recovery of a dead one before, the identities after."""
