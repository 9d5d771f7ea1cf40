# The source of participant.ipynb and solution.ipynb; build.py builds both from it.
#
# Cells begin with "# %%". Lines beginning with "# ?" replace, in the participant's notebook, the one
# line after them; the solution has that line. "# !" hides a notebook command from Python.

# %% [markdown] title
# # dlt in one hour: a pipeline of earthquakes
#
# You will load a public HTTP API into a database with [dlt](https://dlthub.com/docs), in five small
# steps and a sixth for the fast. Each step is the same:
#
# 1. run the cell as it is and look at what is wrong with the result;
# 2. change the line that has an arrow `# ←`;
# 3. run it again, then run the checkpoint: ✔ or ✘ with a hint.
#
# **Stuck?** Go on with the next step. Each cell contains the earlier steps, solved.
#
# The data: earthquakes of one week, magnitude 4.5 and above, from the
# [event service of USGS](https://earthquake.usgs.gov/fdsnws/event/1/). It needs no key.

# %% [markdown] setup-text
# ## Setup
# Run the next two cells. On your own computer you may have all this already; then the first takes a second.

# %% install
# ! %pip install --quiet "dlt[duckdb]>=1.31,<2" "duckdb>=1.5.5,<2" "sqlglot<30.22"

# %% setup
import os
from datetime import datetime, timezone

os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"  # dlt's warnings are useful, and long: not today
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__HTTP_SHOW_ERROR_BODY"] = "true"  # show the answer of the API when it refuses

import dlt
import duckdb
from dlt.sources.helpers import requests
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import OffsetPaginator, SinglePagePaginator

# No module named 'stand_in'? Upload stand_in.py and checkpoints.py beside this notebook.
from checkpoints import Checkpoints
from stand_in import earthquake_api

api = earthquake_api()  # the live one, or earthquake_api("stand-in"): made-up data, no network
pipeline = dlt.pipeline(
    pipeline_name="earthquakes",  # what dlt remembers is filed under this name …
    pipelines_dir="dlt_pipelines",  # … in this folder
    destination=dlt.destinations.duckdb("earthquakes.duckdb"),  # where the rows go
    dataset_name="usgs",  # the schema in that database
)
check = Checkpoints(api, pipeline)
check.step_0()

# %% [markdown] step-1-text
# ## Step 1: first load
# This is one earthquake as the API sends it:

# %% step-1-look
response = requests.get(f"{api.url}/query", params={**api.params, "limit": 20})
response.json()["features"][0]

# %% [markdown] step-1-task
# A **resource** is a function that yields rows: dictionaries, or a list of them. dlt makes the tables.


# %% step-1
@dlt.resource(name="earthquakes")
def earthquakes():
    response = requests.get(f"{api.url}/query", params={**api.params, "limit": 20})
    # ? yield []  # ← yield the list of earthquakes that is in response.json()
    yield response.json()["features"]


load_info = pipeline.run(earthquakes(), refresh="drop_sources")  # refresh: begin from nothing
print(load_info)

# %% step-1-check
check.step_1()

# %% [markdown] step-2-text
# ## Step 2: all pages
# The API sends `limit` earthquakes per page. `offset` is the position of the first one, counted from
# **1**. An empty answer marks the end. dlt has a paginator for that.

# %% step-2
client = RESTClient(base_url=api.url)


@dlt.resource(name="earthquakes")
def earthquakes():
    for page in client.paginate(
        "/query",
        params={**api.params, "limit": 20},
        data_selector="features",
        # ? paginator=SinglePagePaginator(),  # ← OffsetPaginator(limit=…, offset=…, total_path=None)
        paginator=OffsetPaginator(limit=20, offset=1, total_path=None),
    ):
        yield page


load_info = pipeline.run(earthquakes(), refresh="drop_sources")
print(pipeline.last_trace.last_normalize_info.row_counts)

# %% step-2-check
check.step_2()

# %% [markdown] step-2-retry
# **Watch a retry.** Servers are sometimes busy. dlt waits and tries again, without any code of yours:

# %% step-2-retry-look
api.fail_next(503)
pipeline.run(earthquakes(), refresh="drop_sources")
for request in getattr(api, "requests", [])[-5:]:
    print(request.status, request.parameters)

# %% [markdown] step-3-text
# ## Step 3: look at the schema
# Nested keys became columns with `__`, and lists became tables of their own.
# Which columns hold the magnitude?

# %% step-3-look
with duckdb.connect("earthquakes.duckdb") as database:
    tables = database.sql("SELECT name, column_names FROM (SHOW ALL TABLES)")
    tables.filter("name LIKE 'earthquakes%'").show(max_width=100)
    database.sql("SELECT COLUMNS('mag') FROM usgs.earthquakes LIMIT 4").show()

# %% [markdown] step-3-task
# The first magnitude that dlt saw was `5`, a whole number. `4.7` does not fit, so it opened a second
# column. (On the live API this depends on the week.) Give dlt the type.


# %% step-3
@dlt.resource(
    name="earthquakes",
    # ? columns={},  # ← {"COLUMN": {"data_type": "TYPE"}}: which column, which type?
    columns={"properties__mag": {"data_type": "double"}},
)
def earthquakes():
    for page in client.paginate(
        "/query",
        params=api.params,
        data_selector="features",
        paginator=OffsetPaginator(limit=20, offset=1, total_path=None),
    ):
        yield page


pipeline.run(earthquakes(), refresh="drop_sources")
print([name for name in pipeline.default_schema.get_table_columns("earthquakes") if "mag" in name])

# %% step-3-check
check.step_3()

# %% [markdown] step-4-text
# ## Step 4: run it twice
# Pipelines run every night. From here on, the second run is the one to watch: it has no `refresh`.


# %% step-4
@dlt.resource(
    name="earthquakes",
    columns={"properties__mag": {"data_type": "double"}},
    # ? write_disposition="append",  # ← not append: a known earthquake is to be replaced by its new version
    write_disposition="merge",
    # ? # ← and how does dlt know a known one? primary_key=…
    primary_key="id",
)
def earthquakes():
    for page in client.paginate(
        "/query",
        params=api.params,
        data_selector="features",
        paginator=OffsetPaginator(limit=20, offset=1, total_path=None),
    ):
        yield page


pipeline.run(earthquakes(), refresh="drop_sources")
pipeline.run(earthquakes())
with duckdb.connect("earthquakes.duckdb") as database:
    database.sql(
        "SELECT count(*) AS n, count(DISTINCT id) AS different FROM usgs.earthquakes"
    ).show()

# %% step-4-check
check.step_4()

# %% [markdown] step-5-text
# ## Step 5: only what is new
# USGS revises earthquakes for days: `properties.updated` is the time, in milliseconds since 1970.
# dlt remembers the largest value it has seen. The API takes `updatedafter`, as a date.
#
# Between the runs a day passes on the stand-in: two earthquakes are revised, three are new.


# %% step-5
def iso(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).isoformat()


@dlt.resource(
    name="earthquakes",
    columns={"properties__mag": {"data_type": "double"}},
    write_disposition="merge",
    primary_key="id",
)
def earthquakes(
    # ? updated=None,  # ← dlt.sources.incremental("PATH OF THE FIELD", initial_value=0)
    updated=dlt.sources.incremental("properties.updated", initial_value=0),
):
    params = dict(api.params)
    # ? # ← params["updatedafter"] = iso(…): updated has a last_value
    params["updatedafter"] = iso(updated.last_value)
    for page in client.paginate(
        "/query",
        params=params,
        data_selector="features",
        paginator=OffsetPaginator(limit=20, offset=1, total_path=None),
    ):
        yield page


api.day = 0
pipeline.run(earthquakes(), refresh="drop_sources")
print("first run: ", pipeline.last_trace.last_normalize_info.row_counts)
api.day = 1
pipeline.run(earthquakes())
print("second run:", pipeline.last_trace.last_normalize_info.row_counts)

# %% step-5-check
check.step_5()

# %% [markdown] step-5-state
# dlt stores such values from run to run in its **state**, and you can read it:

# %% step-5-state-look
pipeline.state["sources"]

# %% [markdown] step-6-text
# ## Step 6, for the fast: the API changes
# On day 2, new earthquakes have an additional property. By default dlt adds a column.
# A **schema contract** prevents this: `freeze` fails the load, `discard_row` and `discard_value` drop
# the row or the value. Keep the earthquakes, and keep the columns as they are.


# %% step-6
@dlt.resource(
    name="earthquakes",
    columns={"properties__mag": {"data_type": "double"}},
    write_disposition="merge",
    primary_key="id",
    # ? schema_contract={"columns": "evolve"},  # ← one of: freeze, discard_row, discard_value
    schema_contract={"columns": "discard_value"},
)
def earthquakes(updated=dlt.sources.incremental("properties.updated", initial_value=0)):
    for page in client.paginate(
        "/query",
        params={**api.params, "updatedafter": iso(updated.last_value)},
        data_selector="features",
        paginator=OffsetPaginator(limit=20, offset=1, total_path=None),
    ):
        yield page


pipeline.abort_packages()  # what a load that "freeze" stopped has left behind
api.day = 0
pipeline.run(earthquakes(), refresh="drop_sources")
api.day = 2
pipeline.run(earthquakes())
columns = pipeline.default_schema.get_table_columns("earthquakes")
print([name for name in columns if "shaking" in name])

# %% step-6-check
check.step_6()

# %% [markdown] end
# ## Query the database
# `earthquakes.duckdb` is an ordinary DuckDB file. Query it:

# %% end-query
with duckdb.connect("earthquakes.duckdb") as database:
    database.sql("""
        SELECT properties__place AS place, properties__mag AS magnitude,
               epoch_ms(properties__time) AS happened_at
        FROM usgs.earthquakes
        ORDER BY magnitude DESC LIMIT 5
    """).show()

# %% [markdown] next
# **Next:** change `dlt.destinations.duckdb(…)` to another
# [destination](https://dlthub.com/docs/dlt-ecosystem/destinations) and leave the rest as it is.
# Try [spot_the_bug.md](spot_the_bug.md). Help with errors: [troubleshooting.md](troubleshooting.md).
