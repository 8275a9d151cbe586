"""SAM in pure torch, and its weights in files."""
