"""What a detector learns from: scans with their sweeps, objects, and batches of both."""
