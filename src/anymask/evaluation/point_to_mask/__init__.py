"""Point-to-mask (SAM, section 7.1 and appendix D.1): from one click, and from some more, to a mask."""
