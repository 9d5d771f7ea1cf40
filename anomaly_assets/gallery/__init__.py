"""Write a folder that shows all images of a published database in a browser."""
