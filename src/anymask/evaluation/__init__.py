"""The zero-shot suite: tasks, result files, reports."""
