"""The ports over DynamoDB, a module for each. Each module is imported by its name."""
