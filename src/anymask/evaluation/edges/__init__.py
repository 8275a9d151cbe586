"""Edges (SAM, section 7.2 and appendix D.2): boundaries of objects from masks that nobody asked for, on BSDS500."""
