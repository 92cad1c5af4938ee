"""The ports of `ports.py`, over AWS services and over memory."""
