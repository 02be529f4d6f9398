"""What an epoch shows: batches.py."""
