-- One row per image of all source datasets. <images> stands for the union of every
-- <source_dataset>.images that exists, which schema.py writes out from the registry.
CREATE OR REPLACE VIEW images AS
SELECT * FROM <images>;
