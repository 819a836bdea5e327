"""The sample project: its data, a new project made from it, and the demo that runs it and proves what arrived."""
