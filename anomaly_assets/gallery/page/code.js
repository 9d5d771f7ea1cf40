"use strict";
// The SQL and the Python that select what is on the screen, and the lines for corrections. Every value is quoted.

const COLUMNS = /** @type {Record<string, string>} */ ({
  dataset: "source_dataset", category: "category", label: "label", defect: "defect_type", split: "split",
  area: "mask_area_fraction", loaded: "loaded_at",
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
  const escaped = text.replace(/[\\"]/g, "\\$&").replace(
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
    measure.kind === "time" ? `TIMESTAMP '${new Date(value * 1000).toISOString().slice(0, 19).replace("T", " ")}'` : String(value);
  const parts = [];
  if (low !== null) parts.push(`${column} >= ${shown(low)}`);
  if (high !== null) parts.push(`${column} <= ${shown(high)}`);
  return parts.join(" AND ");
}

/** @param {string} condition */
function withImages(condition) {
  return `image_id IN (SELECT image_id FROM ${condition})`;
}

/** Return the query of scores, with the rank of each among the good images of its category. @param {Table} table */
function scoresOf(table) {
  const recipe = table.recipe === null ? "" : `recipe = ${sqlText(table.recipe)} AND `;
  return { recipe, from: `anomaly.baseline_scores WHERE ${recipe}` };
}

/**
 * Return the conditions of a view, as SQL over the view `samples`.
 * @param {Table} table @param {View} view @param {string[]} [except] fields that need none
 */
function conditionsOf(table, view, except = []) {
  const conditions = [];
  for (const [key, words] of Object.entries(view.chosen)) {
    if (except.includes(key) || !words.length) continue;
    if (key === "category") conditions.push(ofCategories(table, words));
    else if (key in COLUMNS) conditions.push(oneOf(COLUMNS[key], words));
    else if (key === "evidence") conditions.push(withImages(`anomaly.effective_images WHERE ${oneOf("label_source", words)}`));
    else if (key === "licence") conditions.push(`source_dataset IN (SELECT source_dataset FROM anomaly.source_datasets WHERE ${oneOf("licence", words)})`);
    else if (key === "check") conditions.push(ofChecks(words));
    else if (key.startsWith("a.")) conditions.push(oneOf(`attributes.${sqlName(key.slice(2))}`, words));
  }
  for (const [key, range] of Object.entries(view.ranges)) {
    const measure = table.measures.get(key);
    if (!measure) continue;
    if (key === "score") conditions.push(withImages(`${scoresOf(table).from}${within("score", measure, range)}`));
    else if (key === "rank") conditions.push(ofRank(table, measure, range));
    else conditions.push(within(key.startsWith("a.") ? `attributes.${sqlName(key.slice(2))}` : COLUMNS[key], measure, range));
  }
  for (const part of searchParts(view.search)) conditions.push(`contains(lower(image_id), ${sqlText(part)})`);
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

/** @param {string[]} words */
function ofChecks(words) {
  const named = words.filter((word) => word !== "");
  const parts = [];
  if (named.length) parts.push(withImages(`anomaly.quality_images WHERE ${oneOf(sqlName("check"), named)}`));
  if (named.length < words.length) parts.push("image_id NOT IN (SELECT image_id FROM anomaly.quality_images WHERE image_id IS NOT NULL)");
  return parts.length > 1 ? `(${parts.join(" OR ")})` : parts[0];
}

/** @param {Table} table @param {Measure} measure @param {[number | null, number | null]} range */
function ofRank(table, measure, range) {
  const scored = "SELECT samples.image_id, source_dataset, category, samples.label, samples.split, scores.score "
    + "FROM anomaly.baseline_scores AS scores JOIN anomaly.samples_without_tensors AS samples USING (image_id) "
    + `WHERE ${scoresOf(table).recipe}scores.score IS NOT NULL`;
  return `image_id IN (WITH scored AS (${scored}) `
    + "SELECT one.image_id FROM scored AS one JOIN scored AS good USING (source_dataset, category) "
    + "WHERE good.label = 'good' AND good.split <> 'train' GROUP BY one.image_id, one.score "
    + `HAVING ${within("avg((good.score < one.score)::INTEGER)", measure, range)})`;
}

/**
 * Return the SQL of a view: one row per image, in the order on the screen.
 * @param {Table} table @param {View} view @param {string[]} ids those that are selected, if some are
 */
function sqlOf(table, view, ids) {
  const conditions = ids.length ? [oneOf("image_id", ids)] : conditionsOf(table, view);
  const key = view.sort.replace(/^-/, "");
  const way = view.sort.startsWith("-") ? "DESC" : "ASC";
  const column = key.startsWith("a.") ? `attributes.${sqlName(key.slice(2))}` : COLUMNS[key];
  const score = `(SELECT any_value(score) FROM anomaly.baseline_scores AS scores WHERE ${scoresOf(table).recipe}scores.image_id = samples.image_id)`;
  const first = key === "score" ? [`${score} ${way} NULLS LAST`] : column ? [`${column} ${way} NULLS LAST`] : [];
  return [
    "SELECT *",
    "FROM anomaly.samples_without_tensors AS samples",
    ...conditions.map((condition, at) => `${at ? "  AND" : "WHERE"} ${condition}`),
    `ORDER BY ${[...first, "source_dataset", "category", "image_id"].join(", ")};`,
  ].join("\n");
}

/**
 * Return the Python of a view: an `open_samples` with the same filters.
 * @param {Table} table @param {View} view @param {string[]} ids those that are selected, if some are
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
  const conditions = ids.length ? [oneOf("image_id", ids)] : conditionsOf(table, view, passed);
  if (conditions.length === 1) parts.push(`where=${pythonText(conditions[0])}`);
  if (conditions.length > 1) {
    parts.push(`where=(\n${conditions.map((each, at) => `        ${pythonText((at ? " AND " : "") + each)}`).join("\n")}\n    )`);
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
  const rows = images.map(({ id, content }) => [id, content, field, value, reason, by, at].map(csvCell).join(","));
  return ["image_id,content_sha256,field,value,reason,by,at", ...rows, ""].join("\n");
}
