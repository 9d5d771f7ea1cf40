"use strict";
// The SQL and the Python that select what is on the screen, and the lines for corrections. Every value is quoted.

const COLUMNS = /** @type {Record<string, string>} */ ({
  dataset: "source_dataset",
  category: "category",
  label: "label",
  defect: "defect_type",
  split: "split",
  area: "mask_area_fraction",
  loaded: "loaded_at",
});

/** @param {string} text */
function sqlText(text) {
  return `'${text.replaceAll("'", "''")}'`;
}

/** @param {string} name */
function sqlName(name) {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Write a string as Python does, with escapes for everything that is not printable ASCII or a letter. */
function pythonText(/** @type {string} */ text) {
  const escaped = text
    .replace(/[\\"]/g, "\\$&")
    .replace(
      /[^\p{L}\p{N}\p{P}\p{S} ]/gu,
      (character) => `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`,
    );
  return `"${escaped}"`;
}

/** @param {string[]} words */
function pythonTexts(words) {
  return words.length === 1 ? pythonText(words[0]) : `[${words.map(pythonText).join(", ")}]`;
}

/** @param {string} column an expression @param {string[]} words "" for null */
function oneOf(column, words) {
  const named = words.filter((word) => word !== "").map(sqlText);
  const parts = [];
  if (named.length === 1) parts.push(`${column} = ${named[0]}`);
  if (named.length > 1) parts.push(`${column} IN (${named.join(", ")})`);
  if (named.length < words.length) parts.push(`${column} IS NULL`);
  return parts.length > 1 ? `(${parts.join(" OR ")})` : parts[0];
}

/** @param {string} column @param {Measure} measure @param {[number | null, number | null]} range */
function within(column, measure, [low, high]) {
  const shown = (/** @type {number} */ value) =>
    measure.kind === "time" ? `TIMESTAMP '${shownTime(value).slice(0, 23)}'` : String(value);
  const parts = [];
  if (low !== null) parts.push(`${column} >= ${shown(low)}`);
  if (high !== null) parts.push(`${column} <= ${shown(high)}`);
  return parts.join(" AND ");
}

/** The names of tables: in a condition of `open_samples` they have no schema. */
const IN_SQL = "anomaly.";
const IN_PYTHON = "";

/** @param {string} schema @param {string} condition */
function withImages(schema, condition) {
  return `image_id IN (SELECT image_id FROM ${schema}${condition})`;
}

/** Return the condition of the scores of the recipe, followed by AND. @param {Table} table */
function recipeOf(table) {
  return table.recipe === null ? "" : `recipe = ${sqlText(table.recipe)} AND `;
}

/** @param {string} key of a column or an attribute */
function columnOf(key) {
  return key.startsWith("a.") ? `attributes.${sqlName(key.slice(2))}` : COLUMNS[key];
}

/**
 * Return the conditions of a view, as SQL over the view `samples`.
 * @param {Table} table @param {View} view @param {string} schema @param {string[]} [except] fields that need none
 */
function conditionsOf(table, view, schema, except = []) {
  const conditions = [];
  for (const [key, words] of Object.entries(view.chosen)) {
    if (except.includes(key) || !words.length) continue;
    if (key === "category") conditions.push(ofCategories(table, words));
    else if (key === "check") conditions.push(ofChecks(schema, words));
    else if (key === "evidence") {
      conditions.push(withImages(schema, `effective_images WHERE ${oneOf("label_source", words)}`));
    } else if (key === "licence") {
      const datasets = `SELECT source_dataset FROM ${schema}source_datasets WHERE ${oneOf("licence", words)}`;
      conditions.push(`source_dataset IN (${datasets})`);
    } else if (columnOf(key)) conditions.push(oneOf(columnOf(key), words));
  }
  for (const [key, range] of Object.entries(view.ranges)) {
    const measure = table.measures.get(key);
    if (!measure) continue;
    if (key === "score") {
      const scores = `baseline_scores WHERE ${recipeOf(table)}${within("score", measure, range)}`;
      const scored = "(image_id, content_sha256)"; // an image that was replaced since has no score
      conditions.push(`${scored} IN (SELECT ${scored} FROM ${schema}${scores})`);
    } else if (key === "rank")
      conditions.push(
        `image_id IN (SELECT image_id FROM ${ranksOf(table, schema)} WHERE ${within("rank", measure, range)})`,
      );
    else conditions.push(within(columnOf(key), measure, range));
  }
  for (const part of searchParts(view.search))
    conditions.push(`contains(lower(image_id), ${sqlText(part)})`);
  return conditions;
}

/** @param {Table} table @param {string[]} words "dataset/category"; one name can be of several datasets */
function ofCategories(table, words) {
  /** @type {Map<string, string[]>} */
  const byDataset = new Map();
  for (const word of words) {
    const at = word.indexOf("/");
    const names = byDataset.get(word.slice(0, at)) ?? [];
    byDataset.set(word.slice(0, at), [...names, word.slice(at + 1)]);
  }
  const several = (table.fields.get("dataset")?.words.length ?? 1) > 1;
  const parts = [...byDataset].map(([dataset, names]) => {
    const those = oneOf("category", names);
    return several ? `source_dataset = ${sqlText(dataset)} AND ${those}` : those;
  });
  return parts.length > 1 ? `(${parts.map((part) => `(${part})`).join(" OR ")})` : parts[0];
}

/** @param {string} schema @param {string[]} words */
function ofChecks(schema, words) {
  const named = words.filter((word) => word !== "");
  const parts = [];
  if (named.length)
    parts.push(withImages(schema, `quality_images WHERE ${oneOf("check_name", named)}`));
  if (named.length < words.length) {
    parts.push(`image_id NOT IN (SELECT image_id FROM ${schema}quality_images WHERE image_id IS NOT NULL)`);
  }
  return parts.length > 1 ? `(${parts.join(" OR ")})` : parts[0];
}

/** Return the table of ranks as `rankOf` computes them. @param {Table} table @param {string} schema */
function ranksOf(table, schema) {
  return (
    "(WITH scored AS (SELECT images.*, scores.score " +
    `FROM ${schema}baseline_scores AS scores JOIN ${schema}samples_without_tensors AS images ` +
    "USING (image_id, content_sha256) " +
    `WHERE ${recipeOf(table)}scores.score IS NOT NULL), ` +
    "good AS (FROM scored WHERE label = 'good' " +
    "QUALIFY split <> 'train' OR bool_and(split = 'train') OVER (PARTITION BY source_dataset, category)) " +
    "SELECT scored.image_id, avg((good.score < scored.score)::INTEGER) AS rank " +
    "FROM scored JOIN good USING (source_dataset, category) GROUP BY scored.image_id) AS ranks"
  );
}

/**
 * Return the SQL of a view: one row per image, in the order on the screen.
 * @param {Table} table @param {View} view @param {string[]} ids ids of the selected images, or empty
 */
function sqlOf(table, view, ids) {
  const conditions = ids.length ? [oneOf("image_id", ids)] : conditionsOf(table, view, IN_SQL);
  const key = view.sort.replace(/^-/, "");
  const way = view.sort.startsWith("-") ? "DESC" : "ASC";
  const measured = /** @type {Record<string, string>} */ ({
    score:
      `(SELECT score FROM ${IN_SQL}baseline_scores AS scores WHERE ${recipeOf(table)}` +
      "scores.image_id = samples.image_id AND scores.content_sha256 = samples.content_sha256)",
    rank: `(SELECT rank FROM ${ranksOf(table, IN_SQL)} WHERE ranks.image_id = samples.image_id)`,
  });
  const column = measured[key] ?? columnOf(key);
  const first = column ? [`${column} ${way} NULLS LAST`] : [];
  return [
    "SELECT *",
    "FROM anomaly.samples_without_tensors AS samples",
    ...conditions.map((condition, at) => `${at ? "  AND" : "WHERE"} ${condition}`),
    `ORDER BY ${[...first, "source_dataset", "category", "image_id"].join(", ")};`,
  ].join("\n");
}

/**
 * Return the Python of a view: an `open_samples` with the same filters.
 * @param {Table} table @param {View} view @param {string[]} ids ids of the selected images, or empty
 */
function pythonOf(table, view, ids) {
  const parts = [];
  /** @type {string[]} */
  const passed = [];
  if (!ids.length) {
    const several = (table.fields.get("dataset")?.words.length ?? 1) > 1;
    for (const key of ["dataset", "category", "split", "label"]) {
      let words = view.chosen[key] ?? [];
      if (!words.length || words.includes("")) continue;
      if (key === "category") {
        const datasets = new Set(words.map((word) => word.slice(0, word.indexOf("/"))));
        if (several && (datasets.size > 1 || view.chosen.dataset)) continue;
        if (several) parts.push(`source_dataset=${pythonTexts([...datasets])}`);
        words = words.map((word) => word.slice(word.indexOf("/") + 1));
      }
      parts.push(`${COLUMNS[key] ?? key}=${pythonTexts(words)}`);
      passed.push(key);
    }
  }
  const conditions = ids.length ? [oneOf("image_id", ids)] : conditionsOf(table, view, IN_PYTHON, passed);
  if (conditions.length === 1) parts.push(`where=${pythonText(conditions[0])}`);
  if (conditions.length > 1) {
    parts.push(
      `where=(\n${conditions.map((each, at) => `        ${pythonText((at ? " AND " : "") + each)}`).join("\n")}\n    )`,
    );
  }
  const words = table.fields.get("label")?.words ?? [];
  if (words.includes("unknown") && !passed.includes("label")) parts.push("include_unknown=True");
  const of = parts.length ? `\n${parts.map((part) => `    ${part},\n`).join("")}` : "";
  return `from anomaly_assets import open_samples\n\nsamples = open_samples(${of})`;
}

/** @param {string} cell */
function csvCell(cell) {
  return /[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/**
 * Return lines for the file of corrections.
 * @param {{id: string, content: string}[]} images
 * @param {{field: string, value: string, reason: string, by: string, at: string}} line
 */
function correctionsOf(images, { field, value, reason, by, at }) {
  const rows = images.map(({ id, content }) =>
    [id, content, field, value, reason, by, at].map(csvCell).join(","),
  );
  return ["image_id,content_sha256,field,value,reason,by,at", ...rows, ""].join("\n");
}
