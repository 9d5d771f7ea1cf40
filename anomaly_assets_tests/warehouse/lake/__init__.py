"""Test a warehouse on DuckLake: a real PostgreSQL, and SeaweedFS for S3, on loopback.

`make stores` installs them. If a server is missing, its tests are skipped, unless `CI` is `true` or
`ANOMALY_TEST_STORES` is `required`.
"""
