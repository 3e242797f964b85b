"""Says what to run, and runs it: suite files, planning, jobs, the command line."""
