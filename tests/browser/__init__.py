"""The web debugger in a real Chromium, over real projects: `nox -s browser`."""
