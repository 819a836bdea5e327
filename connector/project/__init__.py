"""What the user wrote: connector.yml, models and sync configs, read and checked without a network."""
