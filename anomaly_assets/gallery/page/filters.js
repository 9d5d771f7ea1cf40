"use strict";
// The side with the filters: a count beside every value, a drawing above every range.

/** Values of a field that are shown before "Show all". */
const FEW = 8;
/** Values that are shown after it; more of them would make each filter slow. */
const MANY = 500;
const BARS = 48;

class Filters {
  /** @param {HTMLElement} host @param {(key: string, words: string[]) => void} choose @param {(key: string, range: [number | null, number | null]) => void} limit */
  constructor(host, choose, limit) {
    this.host = host;
    this.choose = choose;
    this.limit = limit;
    /** @type {Set<string>} */
    this.unfolded = new Set();
    /** @type {Map<string, Uint8Array>} */
    this.bins = new Map();
    /** @type {Table | null} */
    this.table = null;
  }

  /** @param {Table} table @param {View} view @param {Result} result */
  show(table, view, result) {
    if (this.table !== table) this.bins.clear();
    this.table = table;
    const focused = document.activeElement?.id ?? "";
    const parts = [...table.fields.values()]
      .filter((field) => field.words.length > 1 || field.key === "check" || view.chosen[field.key])
      .map((field) => this.field(field, view, result.counts.get(field.key) ?? new Int32Array()));
    const ranges = [...table.measures.values()].map((measure) => this.range(table, measure, view, result));
    this.host.replaceChildren(...parts, ...ranges.filter((part) => part !== null));
    if (focused.startsWith("filter-")) document.getElementById(focused)?.focus();
  }

  /** @param {Field} field @param {View} view @param {Int32Array} counts */
  field(field, view, counts) {
    const chosen = choiceOf(field, view);
    const values = [
      ...field.words.map((word, code) => ({
        word,
        label: field.labels[code],
        count: counts[code + 1],
        note: field.notes?.[code],
      })),
      { word: "", label: field.key === "change" ? "unchanged" : "none", count: counts[0], note: undefined },
    ].filter(({ word, count }) => count || chosen.includes(word));
    // Long lists begin with the most frequent values, so that they answer "which one has most".
    const long = field.words.length > FEW;
    if (long) values.sort((a, b) => b.count - a.count);
    const unfolded = this.unfolded.has(field.key);
    const limit = unfolded ? MANY : FEW;
    const shown = values.filter(({ word }, at) => at < limit || chosen.includes(word));
    const most = Math.max(1, ...values.map(({ count }) => count));
    const items = shown.map(({ word, label, count, note }) => {
      const id = `filter-${field.key}-${word}`;
      const box = make("input", {
        type: "checkbox",
        id,
        change: () => {
          this.choose(
            field.key,
            box.checked ? [...chosen, word] : chosen.filter((other) => other !== word),
          );
        },
      });
      box.checked = chosen.includes(word);
      const item = make(
        "label",
        { class: "value", title: note || label, "data-word": word },
        box,
        make("span", { class: "name" }, label),
        make("span", { class: "count" }, shownCount(count)),
      );
      item.style.setProperty("--share", `${(100 * count) / most}%`);
      return item;
    });
    const more =
      values.length > shown.length || unfolded
        ? make(
            "button",
            {
              class: "quiet",
              type: "button",
              id: `filter-${field.key}-more`,
              click: () => this.unfold(field.key),
            },
            unfolded ? "Show fewer" : `Show ${values.length > MANY ? `${MANY} of` : "all"} ${values.length}`,
          )
        : null;
    return make("fieldset", { "data-field": field.key }, make("legend", {}, field.title), ...items, more);
  }

  /** @param {string} key */
  unfold(key) {
    if (!this.unfolded.delete(key)) this.unfolded.add(key);
    this.choose("", []);
  }

  /** @param {Table} table @param {Measure} measure @param {View} view @param {Result} result */
  range(table, measure, view, result) {
    const bins = this.binsOf(measure);
    if (!bins) return null;
    const all = heights(bins, orderOf(table, ""));
    const some = heights(bins, result.rows);
    const drawing = draw(
      "svg",
      { viewBox: `0 0 ${BARS} 20`, preserveAspectRatio: "none", "aria-hidden": "true", class: "bars" },
      draw("path", { d: barsPath(all), class: "all" }),
      draw("path", { d: barsPath(some), class: "some" }),
    );
    const [low, high] = view.ranges[measure.key] ?? [null, null];
    const ends = [low, high].map((value, end) => {
      const time = measure.kind === "time";
      const box = make("input", {
        type: time ? "date" : "number",
        step: "any",
        id: `filter-${measure.key}-${end ? "to" : "from"}`,
        "aria-label": `${measure.title}, ${end ? "to" : "from"}`,
        placeholder: end ? "to" : "from",
        change: () => {
          const ends = /** @type {[number | null, number | null]} */ ([low, high]);
          ends[end] = endOf(measure, box.value, end);
          this.limit(measure.key, ends);
        },
      });
      if (value !== null)
        box.value = time
          ? new Date(value * 1000).toISOString().slice(0, 10)
          : String(Number((measure.kind === "share" ? value * 100 : value).toPrecision(6)));
      return box;
    });
    const unit = measure.kind === "share" ? " (%)" : "";
    return make(
      "fieldset",
      { "data-field": measure.key },
      make("legend", { title: measure.note ?? null }, measure.title + unit),
      drawing,
      make("div", { class: "ends" }, ends[0], make("span", { "aria-hidden": "true" }, "–"), ends[1]),
    );
  }

  /** Return the bar of each row, 255 without a value; null if there are fewer than two values. @param {Measure} measure */
  binsOf(measure) {
    let bins = this.bins.get(measure.key);
    if (!bins) {
      let least = Infinity;
      let most = -Infinity;
      for (const value of measure.values) {
        if (value < least) least = value;
        if (value > most) most = value;
      }
      if (!(most > least)) return null;
      bins = Uint8Array.from(measure.values, (value) =>
        Number.isNaN(value)
          ? 255
          : Math.min(BARS - 1, Math.floor(((value - least) / (most - least)) * BARS)),
      );
      this.bins.set(measure.key, bins);
    }
    return bins;
  }
}

/** @param {Measure} measure @param {string} text @param {number} end 0 of the lower one, 1 of the upper one */
function endOf(measure, text, end) {
  if (measure.kind === "time") {
    const day = Date.parse(text);
    return Number.isNaN(day) ? null : day / 1000 + end * 86_399.999;
  }
  const value = numberOrNull(text);
  return value === null || measure.kind !== "share" ? value : Number((value / 100).toPrecision(12));
}

/** Count rows per bar, scaled so that small bars can still be seen. @param {Uint8Array} bins @param {Int32Array} rows */
function heights(bins, rows) {
  const counts = new Uint32Array(256);
  for (const row of rows) counts[bins[row]] += 1;
  return Array.from(counts.subarray(0, BARS), (count) => Math.log2(count + 1));
}

/** @param {number[]} bars */
function barsPath(bars) {
  const most = Math.max(1, ...bars);
  return bars.map((bar, at) => (bar ? `M${at} 20v${((-19 * bar) / most).toFixed(1)}h.8V20z` : "")).join("");
}
