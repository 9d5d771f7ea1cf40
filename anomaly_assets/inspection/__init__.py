"""Report how a declaration classifies a folder before it is loaded."""
