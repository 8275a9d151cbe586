"""Numbers from masks: pure functions."""
