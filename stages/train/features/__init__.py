"""What frozen blocks make of an image, computed once."""
