"""Plan trees in the official layouts of the built-in datasets, with one function per layout."""
