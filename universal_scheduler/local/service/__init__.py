"""The engine as a service of its machine: health, metrics, backup, what it keeps for how long, and its unit."""
