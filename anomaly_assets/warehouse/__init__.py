"""Open and lock the database of the asset graph, publish from it, and copy it.

- `base.py`, `open.py`: the methods of every kind of warehouse, and the factory
- `file/`, `lake/`, `motherduck/`: the three kinds (a DuckDB file, a DuckLake, a MotherDuck database)
- `publication.py`, `content.py`, `provenance.py`: checks before publishing, the digest of all content,
  and the row of `snapshots`
- `buffers.py`, `extensions.py`: bound DuckDB's cache, and install its extensions
- `open_published.py`: opens a published file read-only
- `removal.py`: removes a source dataset
- `copying/`, `__main__.py`: move a database to another kind of place
"""
