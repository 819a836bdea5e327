"""The commands, a module for one or a few of them."""
