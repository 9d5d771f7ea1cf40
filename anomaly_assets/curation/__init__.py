"""Read the decisions of people about images: corrections."""
