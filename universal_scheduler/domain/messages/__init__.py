"""Messages to people: what they are about, their words, and their channels."""
