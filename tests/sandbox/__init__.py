"""The sandbox, asked over a real port."""
