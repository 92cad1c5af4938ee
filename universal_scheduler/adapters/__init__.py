"""The adapters: the ports over AWS services and over memory."""
