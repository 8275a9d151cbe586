"""The program ``anymask-shards``: pack, index, look at and verify shards."""
