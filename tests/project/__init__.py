"""Tests of the project files."""
