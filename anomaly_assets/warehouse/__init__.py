"""The database: opening and locking it, its tables and views, checks, publishing, copying.

base.py locations.py opening.py       what every warehouse can do, what a location means
database.py motherduck.py lake/       the three kinds: a file, MotherDuck, DuckLake
tables.py schema.py sql/ checks.py    what is in it, and what must hold
changes.py shown.py                   what a refresh did, and rows for people to look at
publish.py publishing/                from a warehouse to what people open
__main__.py copying/                  moving a database
"""
