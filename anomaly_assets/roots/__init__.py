"""Reading the files of a source dataset, wherever they are."""
