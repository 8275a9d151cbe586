"""Instance segmentation (SAM, section 7.4 and appendix D.4): masks for a detector's boxes, by average precision."""
