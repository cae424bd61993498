"""Where runs are kept: a study written to MLflow, cell by cell, and read back as a tidy frame."""
