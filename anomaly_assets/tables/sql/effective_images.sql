-- One row per image, with the label in effect: that of images, which decides by all evidence.
CREATE OR REPLACE VIEW effective_images AS
SELECT * FROM images;
