"""Object proposals (SAM, section 7.3 and appendix D.3): how many annotated objects are among a thousand masks."""
