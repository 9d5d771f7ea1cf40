-- Returns a row if any category has a threshold, without which no image is suspect.
SELECT 1 FROM evaluations WHERE threshold IS NOT NULL LIMIT 1;
