"""The ports: what the use cases need from outside, one module for each concern. Adapters implement them. Import each
module by its name."""
