"use strict";
// The page: one view, which the address holds, and everything that shows it.

class Page {
  /** @param {Snapshot} snapshot @param {Table} table */
  constructor(snapshot, table) {
    this.snapshot = snapshot;
    this.newest = table;
    this.table = table;
    /** @type {Map<string, Table>} */
    this.pairs = new Map();
    this.view = emptyView();
    /** @type {Result} */
    this.result = { rows: new Int32Array(), counts: new Map() };
    /** @type {Set<string>} */
    this.selected = new Set();
    this.filters = new Filters(
      byId("filters", HTMLElement),
      (key, words) => this.choose(key, words),
      (key, range) => this.limit(key, range),
    );
    this.grid = new Grid(byId("grid", HTMLElement), {
      open: (position) => this.change({ image: this.table.ids[this.result.rows[position]] }, true),
      select: (position, way) => this.select(position, way),
      caption: (row) => this.caption(row),
      describe: (row) => this.describe(row),
      moved: () => this.showPosition(),
    });
    this.grid.selected = this.selected;
    this.detail = new Detail({
      step: (by) => this.step(by),
      closed: () => this.view.image && this.change({ image: "" }, true),
      select: (id) => this.toggle(id),
      isSelected: (id) => this.selected.has(id),
    });
    this.exporter = new Exporter();
    this.head();
    addEventListener("hashchange", () => this.read());
    addEventListener("keydown", (event) => this.pressed(event));
  }

  /** Listen to the head of the page. */
  head() {
    fillHead(this.snapshot, this.newest);
    const sort = byId("sort", HTMLSelectElement);
    sort.addEventListener("change", () => this.change({ sort: sort.value }));
    const against = byId("against", HTMLSelectElement);
    against.addEventListener("change", () => this.change({ against: against.value, image: "" }));
    const search = byId("search", HTMLInputElement);
    search.addEventListener("input", () => this.change({ search: search.value }, false, true));
    byId("clear", HTMLButtonElement).addEventListener("click", () =>
      this.change({ ...emptyView(), against: this.view.against }),
    );
    byId("code-button", HTMLButtonElement).addEventListener("click", () => showCode(this.shown()));
    byId("export-button", HTMLButtonElement).addEventListener("click", () =>
      this.exporter.show(this.shown()),
    );
    for (const name of ["python", "sql"]) {
      const copy = byId(`copy-${name}`, HTMLButtonElement);
      copy.addEventListener("click", () => copyText(byId(name, HTMLElement).textContent ?? "", copy));
    }
    const drawer = byId("drawer", HTMLButtonElement);
    drawer.addEventListener("click", () =>
      drawer.setAttribute("aria-expanded", String(document.body.classList.toggle("drawer"))),
    );
  }

  shown() {
    return { table: this.table, view: this.view, rows: this.result.rows, selected: this.selected };
  }

  /**
   * Change the view and its address.
   * @param {Partial<View>} part @param {boolean} [stay] the same rows, so the grid need not move
   * @param {boolean} [replace] without a step for the Back button
   */
  change(part, stay = false, replace = false) {
    this.view = { ...this.view, ...part };
    const address = `#${addressOf(this.view)}`;
    if (address !== (location.hash || "#")) {
      if (replace) location.replace(address);
      else location.hash = address;
    }
    if (stay) this.showImage();
    else this.apply();
  }

  /** Restore the view from the fragment of the URL. */
  read() {
    if (addressOf(viewOf(location.hash, this.table)) === addressOf(this.view) && this.result.counts.size)
      return;
    const before = addressOf({ ...this.view, image: "" });
    this.view = viewOf(location.hash, this.newest);
    if (this.result.counts.size && addressOf({ ...this.view, image: "" }) === before) this.showImage();
    else this.apply();
  }

  /** Show the view. */
  async apply() {
    const { view } = this;
    const table = await this.tableFor(view.against);
    if (view !== this.view) return;
    this.table = table;
    this.result = selected(table, view);
    this.grid.show(table, this.result.rows);
    this.filters.show(table, view, this.result);
    this.showStatus();
    this.showImage();
  }

  /** Return the newest snapshot, or its comparison with an older one. @param {string} against */
  async tableFor(against) {
    const previous = this.snapshot.previous.find(({ id }) => id === against);
    if (!previous) return this.newest;
    let table = this.pairs.get(against);
    if (!table) {
      table = compared(this.newest, tableOf(await load(previous.index)));
      this.pairs.set(against, table);
    }
    return table;
  }

  /** @param {string} key @param {string[]} words */
  choose(key, words) {
    if (key === "") return this.filters.show(this.table, this.view, this.result);
    const { [key]: _, ...chosen } = this.view.chosen;
    return this.change({ chosen: words.length ? { ...chosen, [key]: words } : chosen });
  }

  /** @param {string} key @param {[number | null, number | null]} range */
  limit(key, range) {
    const { [key]: _, ...ranges } = this.view.ranges;
    this.change({ ranges: range[0] === null && range[1] === null ? ranges : { ...ranges, [key]: range } });
  }

  showStatus() {
    const { view, table, result, newest } = this;
    const all = table.previous ? table.count : newest.count;
    const count = result.rows.length;
    byId("count", HTMLElement).textContent =
      count === all ? `${shownCount(all)} images` : `${shownCount(count)} of ${shownCount(all)} images`;
    byId("empty", HTMLElement).hidden = count > 0;
    byId("grid", HTMLElement).hidden = count === 0;
    byId("why", HTMLElement).textContent =
      table.previous && !Object.keys(view.chosen).length
        ? "Nothing changed between the two snapshots."
        : "No image matches.";
    byId("search", HTMLInputElement).value = view.search;
    byId("sort", HTMLSelectElement).value = view.sort;
    byId("against", HTMLSelectElement).value = view.against;
    const chips = [];
    for (const [key, words] of Object.entries(view.chosen)) {
      const field = table.fields.get(key);
      if (field)
        chips.push(
          this.chip(
            `${field.title}: ${words.map((word) => field.labels[field.words.indexOf(word)] ?? (word || "none")).join(", ")}`,
            () => this.choose(key, []),
          ),
        );
    }
    for (const [key, [low, high]] of Object.entries(view.ranges)) {
      const each = table.measures.get(key);
      if (!each) continue;
      const ends = [
        low === null ? "" : `from ${shownNumber(each, low)}`,
        high === null ? "" : `to ${shownNumber(each, high)}`,
      ];
      chips.push(
        this.chip(`${each.title} ${ends.filter(Boolean).join(" ")}`, () => this.limit(key, [null, null])),
      );
    }
    if (this.selected.size) {
      chips.push(
        this.chip(`${shownCount(this.selected.size)} selected`, () => {
          this.selected.clear();
          this.grid.refresh();
          this.showStatus();
        }),
      );
    }
    byId("chips", HTMLElement).replaceChildren(...chips);
    const address = addressOf({ ...view, image: "" });
    for (const link of document.querySelectorAll("#views a")) {
      if (link.getAttribute("href") === `#${address}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** @param {string} text @param {() => void} remove */
  chip(text, remove) {
    return make(
      "button",
      { type: "button", class: "chip", title: "Remove", click: remove },
      text,
      make("span", { "aria-hidden": "true" }, " ×"),
    );
  }

  /** Name the category at the top of the window. */
  showPosition() {
    const row = this.result.rows[this.grid.first];
    const text =
      row === undefined || this.view.sort ? "" : wordOf(this.table, "category", row).replace("/", " / ");
    const position = byId("position", HTMLElement);
    if (position.textContent !== text) position.textContent = text;
  }

  showImage() {
    const row = this.table.ids.indexOf(this.view.image);
    if (row < 0) {
      this.detail.dialog.close();
      return;
    }
    const position = this.result.rows.indexOf(row);
    if (position >= 0) this.grid.move(position);
    this.detail.show(
      this.table,
      row,
      position < 0 ? "" : `${shownCount(position + 1)} of ${shownCount(this.result.rows.length)}`,
    );
  }

  /** @param {number} by */
  step(by) {
    const position = this.result.rows.indexOf(this.table.ids.indexOf(this.view.image)) + by;
    if (position >= 0 && position < this.result.rows.length)
      this.change({ image: this.table.ids[this.result.rows[position]] }, true, true);
  }

  /** @param {number} position @param {"one" | "range"} way */
  select(position, way) {
    const id = this.table.ids[this.result.rows[position]];
    if (way === "one") {
      this.toggle(id);
      return;
    }
    const [from, to] = [Math.min(this.grid.anchor, position), Math.max(this.grid.anchor, position)];
    for (let at = from; at <= to && at < this.result.rows.length; at += 1)
      this.selected.add(this.table.ids[this.result.rows[at]]);
    this.grid.refresh();
    this.showStatus();
  }

  /** @param {string} id */
  toggle(id) {
    if (!this.selected.delete(id)) this.selected.add(id);
    this.grid.refresh();
    this.showStatus();
  }

  /** Return the label of a row, and the words below its picture. @param {number} row @returns {[string, string]} */
  caption(row) {
    const { table, view } = this;
    const label = wordOf(table, "label", row);
    const sorted = table.measures.get(view.sort.replace(/^-/, ""));
    const words = wordOf(table, "defect", row) || label;
    if (table.previous && table.before) {
      const change = wordOf(table, "change", row);
      const old = table.before[row];
      const was =
        old < 0 ? "" : wordOf(table.previous, "defect", old) || wordOf(table.previous, "label", old);
      return [label, change === "relabelled" && was !== words ? `${was} → ${words}` : change || words];
    }
    return [label, sorted ? shownNumber(sorted, sorted.values[row]) : words];
  }

  /** @param {number} row */
  describe(row) {
    const [, caption] = this.caption(row);
    return `${this.table.ids[row]}, ${wordOf(this.table, "label", row)}, ${caption}`;
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const typing = event.target instanceof HTMLInputElement && event.target.type !== "checkbox";
    if (event.key !== "/" || typing || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    byId("search", HTMLInputElement).focus();
  }
}
