"""What people are told: which breaches and ends, in which words, through which channels."""
