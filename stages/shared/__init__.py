"""What two or more stages use, and nothing else. Imports no stage."""
