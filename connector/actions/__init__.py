"""What can be asked of a project beside a run: to check, to plan, to look back, to mend."""
