"""What every part may use: errors, registry, hashing, files, locks. Standard library only."""
