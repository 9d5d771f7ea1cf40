-- One row per image of all source datasets. ddl.py replaces <images> by the union of all existing
-- tables <source_dataset>.images.
CREATE OR REPLACE VIEW images AS
SELECT * FROM <images>;
