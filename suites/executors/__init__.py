"""Ways to run independent jobs: in this process, in child processes."""
