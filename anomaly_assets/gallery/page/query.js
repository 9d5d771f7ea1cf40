"use strict";
// Filter, count and sort: one pass per filter over typed arrays.

const MATCHES = -1;
const FAILS_SEVERAL = -2;

/**
 * Select the rows of a view.
 * @param {Table} table
 * @param {View} view
 * @returns {Result}
 */
function selected(table, view) {
  // Of each row: the only filter that it fails, so that the counts of a field ignore the field's own choice.
  const failed = new Int32Array(table.count).fill(MATCHES);
  const fields = [...table.fields.values()];
  fields.forEach((field, at) => {
    const chosen = choiceOf(field, view);
    if (chosen.length) failWithout(field, chosen, failed, at);
  });
  for (const [key, [low, high]] of Object.entries(view.ranges)) {
    const values = table.measures.get(key)?.values;
    if (!values) continue;
    const least = low ?? -Infinity;
    const most = high ?? Infinity;
    for (let row = 0; row < table.count; row += 1) {
      if (!(values[row] >= least && values[row] <= most)) failed[row] = FAILS_SEVERAL;
    }
  }
  for (const part of searchParts(view.search)) {
    for (let row = 0; row < table.count; row += 1) {
      if (failed[row] !== FAILS_SEVERAL && !table.lowered[row].includes(part)) failed[row] = FAILS_SEVERAL;
    }
  }
  const counts = new Map(fields.map((field, at) => [field.key, countsOf(field, failed, at)]));
  const order = orderOf(table, view.sort);
  const rows = new Int32Array(table.count);
  let length = 0;
  for (let at = 0; at < order.length; at += 1) {
    if (failed[order[at]] === MATCHES) rows[length++] = order[at];
  }
  return { rows: rows.slice(0, length), counts };
}

/** Return the chosen words of a field; a comparison shows changes alone unless something else is chosen. */
function choiceOf(/** @type {Field} */ field, /** @type {View} */ view) {
  return view.chosen[field.key] ?? (field.key === "change" ? CHANGES : []);
}

/** @param {string} search */
function searchParts(search) {
  return search.toLowerCase().split(/\s+/).filter(Boolean);
}

/** @param {Field} field @param {string[]} chosen @param {Int32Array} failed @param {number} at */
function failWithout(field, chosen, failed, at) {
  const allowed = new Uint8Array(field.words.length + 1);
  for (const word of chosen) {
    if (word === "") allowed[0] = 1;
    else if (field.words.includes(word)) allowed[field.words.indexOf(word) + 1] = 1;
  }
  const { codes, starts, items } = field;
  for (let row = 0; row < failed.length; row += 1) {
    let passes = false;
    if (codes) passes = allowed[codes[row] + 1] === 1;
    else if (starts && items) {
      if (starts[row] === starts[row + 1]) passes = allowed[0] === 1;
      for (let item = starts[row]; item < starts[row + 1]; item += 1) {
        if (allowed[items[item] + 1]) passes = true;
      }
    }
    if (!passes) failed[row] = failed[row] === MATCHES ? at : FAILS_SEVERAL;
  }
}

/** @param {Field} field @param {Int32Array} failed @param {number} at */
function countsOf(field, failed, at) {
  const counts = new Int32Array(field.words.length + 1);
  const { codes, starts, items } = field;
  for (let row = 0; row < failed.length; row += 1) {
    if (failed[row] !== MATCHES && failed[row] !== at) continue;
    if (codes) counts[codes[row] + 1] += 1;
    else if (starts && items) {
      if (starts[row] === starts[row + 1]) counts[0] += 1;
      for (let item = starts[row]; item < starts[row + 1]; item += 1) counts[items[item] + 1] += 1;
    }
  }
  return counts;
}

/**
 * Return all rows in the order of a measure, such as "area" or, from the largest, "-area". Rows without a value
 * come last; equal ones stay in the order of the snapshot, which is that of "".
 * @param {Table} table
 * @param {string} sort
 */
function orderOf(table, sort) {
  let order = table.orders.get(sort);
  if (order) return order;
  order = Int32Array.from({ length: table.count }, (_, row) => row);
  const sign = sort.startsWith("-") ? -1 : 1;
  const values = table.measures.get(sort.replace(/^-/, ""))?.values;
  if (values) {
    const keys = Float64Array.from(values, (value) => (Number.isNaN(value) ? Infinity : sign * value));
    order.sort((a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : a - b));
  }
  table.orders.set(sort, order);
  return order;
}
