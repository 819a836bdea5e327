"""Syncs that run by themselves: when they are due, and the loop that starts them."""
