"""List and read roots: folders, zip archives and stores with the files of a source dataset."""
