"""Find near duplicates: images that look like copies of each other and have different bytes."""
