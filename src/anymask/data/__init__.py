"""Samples: records, shards, mixture, transforms, batches."""
