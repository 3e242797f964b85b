"""What every part may use: errors, registry, hashing, seeds, files, locks. Standard library only."""
