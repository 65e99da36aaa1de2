"""What trainings leave: runs, their metrics and their files."""
