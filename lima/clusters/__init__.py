"""Points of scans grouped into 3D clusters, once for all runs: Sample -> labels -> store."""
