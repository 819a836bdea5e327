"""Orchestrators: each module here is for one, and imports it; the rest of the package does not know them."""
