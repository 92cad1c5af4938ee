"""The ports over DynamoDB, one module for each port. Import each module by its name."""
