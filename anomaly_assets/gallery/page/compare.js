"use strict";
// Two snapshots as one table: the rows of the newer one, then the images that only the older one has.

/**
 * Compare two snapshots by image id.
 * @param {Table} now
 * @param {Table} previous
 * @returns {Table} with the field `change`
 */
function compared(now, previous) {
  const rowOf = new Map(previous.ids.map((id, row) => [id, row]));
  const before = new Int32Array(now.count).fill(-1);
  const changes = new Int32Array(now.count).fill(-1);
  const labels = ["label", "defect", "split"];
  for (let row = 0; row < now.count; row += 1) {
    const old = rowOf.get(now.ids[row]);
    if (old === undefined) {
      changes[row] = 0;
      continue;
    }
    before[row] = old;
    rowOf.delete(now.ids[row]);
    if (labels.some((key) => wordOf(now, key, row) !== wordOf(previous, key, old))) changes[row] = 2;
    else if (now.content[row] !== previous.content[old]) changes[row] = 3;
  }
  const removed = Int32Array.from(rowOf.values()).sort();
  const fields = new Map([
    [
      "change",
      fieldOf(
        "change",
        "Change",
        CHANGES,
        joined(changes, removed, () => 1),
      ),
    ],
    ...[...now.fields].map(
      ([key, field]) => /** @type {[string, Field]} */ ([key, extended(field, previous, removed)]),
    ),
  ]);
  const measures = new Map(
    [...now.measures].map(([key, each]) => {
      const old = previous.measures.get(key)?.values;
      const values = new Float64Array(now.count + removed.length).fill(NaN);
      values.set(each.values);
      if (old) removed.forEach((row, at) => (values[now.count + at] = old[row]));
      return [key, { ...each, values }];
    }),
  );
  const ids = [...now.ids, ...Array.from(removed, (row) => previous.ids[row])];
  return {
    ...now,
    count: now.count + removed.length,
    ids,
    lowered: ids.map((id) => id.toLowerCase()),
    content: [...now.content, ...Array.from(removed, (row) => previous.content[row] ?? "")],
    fields,
    measures,
    pack: joined(now.pack, removed, () => -1),
    slot: joined(now.slot, removed, () => 0),
    detail: joined(now.detail, removed, () => -1),
    orders: new Map(),
    previous,
    before: joined(before, removed, (row) => row),
  };
}

/** @param {Int32Array} codes @param {Int32Array} removed @param {(row: number) => number} added */
function joined(codes, removed, added) {
  const all = new Int32Array(codes.length + removed.length);
  all.set(codes);
  removed.forEach((row, at) => (all[codes.length + at] = added(row)));
  return all;
}

/**
 * Add the values of removed images to a field, and words that only they have.
 * @param {Field} field @param {Table} previous @param {Int32Array} removed
 * @returns {Field}
 */
function extended(field, previous, removed) {
  if (!field.codes) {
    const starts = field.starts ?? new Int32Array(1);
    return { ...field, starts: joined(starts, removed, () => starts[starts.length - 1]) };
  }
  const words = [...field.words];
  const labels = [...field.labels];
  const old = previous.fields.get(field.key);
  const codes = joined(field.codes, removed, (row) => {
    const code = old?.codes?.[row] ?? -1;
    if (!old || code < 0) return -1;
    let at = words.indexOf(old.words[code]);
    if (at < 0) {
      at = words.push(old.words[code]) - 1;
      labels.push(old.labels[code]);
    }
    return at;
  });
  return { ...field, words, labels, codes };
}
