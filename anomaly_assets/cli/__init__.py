"""Provide the console command `anomaly-assets`: one module per sub-command, without Dagster.

`start.py` is the entry point, `app.py` lists the sub-commands, and `running.py` turns errors into
messages and exit codes.
"""
