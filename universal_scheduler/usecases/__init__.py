"""One function for each thing the scheduler does, written over `ports`."""
