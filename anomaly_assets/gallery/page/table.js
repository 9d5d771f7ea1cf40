"use strict";
// From the JSON of a snapshot to columns that are fast to filter and sort. Nothing here needs a page.

const CHANGES = ["added", "removed", "relabelled", "other content"];

/** @param {string} key @param {string} title @param {any[]} words @param {ArrayLike<number>} codes */
function fieldOf(key, title, words, codes, labels = words) {
  /** @type {Field} */
  const field = {
    key,
    title,
    words: words.map(String),
    labels: labels.map(String),
    codes: Int32Array.from(codes),
  };
  return field;
}

/** @param {string} key @param {string} title @param {Measure["kind"]} kind @param {(number | null)[]} values */
function measureOf(key, title, kind, values) {
  const numbers = Float64Array.from(values, (value) => (value === null ? NaN : value));
  return /** @type {Measure} */ ({ key, title, kind, values: numbers });
}

/**
 * Build the field of the checks that name images.
 * @param {{name: string, sentence?: string, asset?: string}[]} checks
 * @param {number[][]} rowsOfChecks
 * @param {number} count
 * @returns {Field}
 */
function checkField(checks, rowsOfChecks, count) {
  const starts = new Int32Array(count + 1);
  for (const rows of rowsOfChecks) for (const row of rows) starts[row + 1] += 1;
  for (let row = 0; row < count; row += 1) starts[row + 1] += starts[row];
  const items = new Int32Array(starts[count]);
  const filled = starts.slice();
  rowsOfChecks.forEach((rows, check) => {
    for (const row of rows) items[filled[row]++] = check;
  });
  const words = checks.map((check) => check.name);
  const labels = words.map((name) => name.replaceAll("_", " "));
  return {
    key: "check",
    title: "Failed check",
    words,
    labels,
    notes: checks.map((check) => check.sentence ?? ""),
    starts,
    items,
  };
}

/**
 * Build the columns of a snapshot.
 * @param {Index} index
 * @returns {Table}
 */
function tableOf(index) {
  const { columns, words, count } = index;
  const fields = new Map();
  const measures = new Map();
  const none = () => new Int32Array(count).fill(-1);
  /** @param {string} key @param {string} title @param {string} column */
  const addField = (key, title, column) => {
    if (columns[column] && words[column]?.length)
      fields.set(key, fieldOf(key, title, words[column], columns[column]));
  };
  addField("dataset", "Dataset", "source_dataset");
  const datasets = words.source_dataset;
  const several = datasets.length > 1;
  const categories = words.category.map((each) => `${datasets[each.source_dataset]}/${each.name}`);
  const short = words.category.map((each) =>
    several ? `${each.name} · ${datasets[each.source_dataset]}` : each.name,
  );
  fields.set("category", fieldOf("category", "Category", categories, columns.category, short));
  addField("label", "Label", "label");
  addField("defect", "Defect type", "defect_type");
  addField("split", "Split", "split");
  if (words.check?.length) fields.set("check", checkField(words.check, index.checks ?? [], count));
  addField("evidence", "Evidence of the label", "label_source");
  addField("licence", "Licence", "licence");
  if (columns.score) {
    measures.set("score", measureOf("score", "Score", "number", columns.score));
  }
  if (columns.defect_area)
    measures.set("area", measureOf("area", "Defect area", "share", columns.defect_area));
  if (columns.loaded_at) measures.set("loaded", measureOf("loaded", "Loaded", "time", columns.loaded_at));
  for (const [name, attribute] of Object.entries(index.attributes ?? {})) {
    const key = `a.${name}`;
    if (attribute.codes) fields.set(key, fieldOf(key, name, attribute.words ?? [], attribute.codes));
    else if (attribute.values) {
      measures.set(
        key,
        measureOf(key, name, attribute.type === "time" ? "time" : "number", attribute.values),
      );
    }
  }
  /** @type {Table} */
  const table = {
    count,
    snapshot: index.snapshot,
    recipe: index.recipe ?? null,
    ids: columns.image_id,
    lowered: columns.image_id.map((id) => id.toLowerCase()),
    content: columns.content ?? [],
    fields,
    measures,
    packs: index.packs,
    pack: Int32Array.from(columns.pack),
    slot: Int32Array.from(columns.slot),
    details: index.details ?? [],
    detail: columns.detail ? Int32Array.from(columns.detail) : none(),
    orders: new Map(),
    previous: null,
    before: null,
  };
  if (columns.score) measures.set("rank", rankOf(table));
  return table;
}

/**
 * Compute the share of good images of the same category with a lower score. Scores of two categories cannot be
 * compared, ranks can. Good images that a detector was trained on are left out, unless there are no others.
 * @param {Table} table
 * @returns {Measure}
 */
function rankOf(table) {
  const scores = measure(table, "score").values;
  const category = codesOf(table, "category");
  const good = table.fields.get("label")?.words.indexOf("good");
  const label = codesOf(table, "label");
  const train = table.fields.get("split")?.words.indexOf("train") ?? -1;
  const split = codesOf(table, "split");
  /** @type {Map<number, {test: number[], all: number[]}>} */
  const goods = new Map();
  for (let row = 0; row < table.count; row += 1) {
    if (label[row] !== good || Number.isNaN(scores[row])) continue;
    let those = goods.get(category[row]);
    if (!those) goods.set(category[row], (those = { test: [], all: [] }));
    those.all.push(scores[row]);
    if (train < 0 || split[row] !== train) those.test.push(scores[row]);
  }
  /** @type {Map<number, Float64Array>} */
  const sorted = new Map();
  for (const [code, { test, all }] of goods)
    sorted.set(code, Float64Array.from(test.length ? test : all).sort());
  const values = new Float64Array(table.count).fill(NaN);
  for (let row = 0; row < table.count; row += 1) {
    const those = sorted.get(category[row]);
    if (those && !Number.isNaN(scores[row])) values[row] = below(those, scores[row]) / those.length;
  }
  return {
    key: "rank",
    title: "Rank",
    kind: "share",
    values,
    note: "Share of the good images of its category with a lower score",
  };
}

/** Count the values of a sorted array that are below a value. @param {Float64Array} sorted @param {number} value */
function below(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {Table} table @param {string} key @returns {Int32Array} */
function codesOf(table, key) {
  return table.fields.get(key)?.codes ?? new Int32Array(table.count).fill(-1);
}

/** @param {Table} table @param {string} key @returns {Measure} */
function measure(table, key) {
  const found = table.measures.get(key);
  if (!found) throw new Error(`no measure ${key}`);
  return found;
}

/**
 * Return the value of a field with one value per row; "" for none.
 * @param {Table} table @param {string} key @param {number} row
 */
function wordOf(table, key, row) {
  const field = table.fields.get(key);
  return field?.codes ? (field.words[field.codes[row]] ?? "") : "";
}

/**
 * Return the checks that name a row, as positions in the field's words.
 * @param {Table} table @param {number} row
 */
function checksOf(table, row) {
  const field = table.fields.get("check");
  return field?.starts && field.items
    ? [...field.items.subarray(field.starts[row], field.starts[row + 1])]
    : [];
}
