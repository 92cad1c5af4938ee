"""The embedded engine: the same template, Lambdas and state machine on one machine, without Docker or an account."""
