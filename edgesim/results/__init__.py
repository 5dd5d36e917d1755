"""Results: the run folder, its tables as DataFrames, headline numbers and plots."""
