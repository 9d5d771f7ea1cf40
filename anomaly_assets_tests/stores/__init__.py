"""Test roots in real stores: SeaweedFS for S3, Azurite, fake-gcs-server and nginx, all on loopback.

`make stores` installs them. If a server is missing, its tests are skipped, unless `CI` is `true` or
`ANOMALY_TEST_STORES` is `required`.
"""
