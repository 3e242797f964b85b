"""Pictures of what detectors found: frames from above and through the cameras."""
