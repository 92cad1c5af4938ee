"""What the use cases need from the world, one module a concern: adapters implement these. Import each by its name."""
