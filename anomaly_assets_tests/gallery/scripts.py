"""Run functions of the page with Node, without a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from anomaly_assets_tests.gallery.synthetic import PAGE

WITHOUT_A_PAGE = ("table.js", "compare.js", "query.js", "view.js", "code.js")
_RUN = """
const vm = require("vm");
const { sources, expression, input } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const context = vm.createContext({ URLSearchParams, input });
for (const source of sources) vm.runInContext(source, context);
process.stdout.write(JSON.stringify(vm.runInContext(expression, context)));
"""


def evaluated(expression: str, value: Any = None) -> Any:
    """Evaluate an expression over the page's functions; `input` is the value, as JSON.

    Without Node the test is skipped, unless `UI_TESTS_REQUIRED` is set.
    """
    node = shutil.which("node")
    if node is None:
        if os.environ.get("UI_TESTS_REQUIRED"):
            pytest.fail("there is no node")
        pytest.skip("there is no node")
    sources = [(PAGE / name).read_text("utf-8") for name in WITHOUT_A_PAGE]
    message = json.dumps({"sources": sources, "expression": expression, "input": value})
    done = subprocess.run(
        [node, "-e", _RUN], input=message, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
