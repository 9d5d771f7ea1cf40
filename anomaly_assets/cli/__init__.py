"""Provide the console command `anomaly-assets`: one module per sub-command, without Dagster.

`app.py` lists the sub-commands, `running.py` turns errors into messages and exit codes.
"""
