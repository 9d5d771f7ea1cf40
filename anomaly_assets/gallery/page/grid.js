"use strict";
// The grid: places are computed, and only cells near the window exist. Cells are reused, never removed.

const TILE = 96;
const GAP = 12;
const CAPTION = 24;
const MARGIN = 16;
/** Pixels beyond the window in which cells exist: cells arrive before they can be seen. */
const AHEAD = 640;
const BEHIND = 160;
/** Cells that are filled in one frame, so that no frame takes long. */
const CELLS_PER_FRAME = 64;
/** One transparent pixel: an image without an address would be drawn as a broken one. */
const NOTHING = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";

class Grid {
  /**
   * @param {HTMLElement} host
   * @param {{open: (position: number) => void, select: (position: number, way: "one" | "range") => void,
   *   caption: (row: number) => [string, string], describe: (row: number) => string, moved: () => void}} events
   */
  constructor(host, events) {
    this.host = host;
    this.events = events;
    this.space = make("div", { class: "space", role: "presentation" });
    host.append(this.space);
    /** @type {Cell[]} */
    this.cells = [];
    /** @type {Table | null} */
    this.table = null;
    /** @type {Int32Array} */
    this.rows = new Int32Array();
    /** @type {Set<string>} */
    this.selected = new Set();
    this.active = 0;
    /** The position at which a range of selected images begins. */
    this.anchor = 0;
    this.version = 0;
    this.frame = 0;
    this.top = 0;
    this.down = true;
    this.columns = 1;
    this.first = 0;
    this.height = 0;
    host.addEventListener("scroll", () => this.draw(), { passive: true });
    host.addEventListener("click", (event) => this.clicked(event));
    host.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.measure()).observe(host);
    this.space.addEventListener("load", (event) => this.drawn(event), true);
    packs.arrived = () => this.draw();
    packs.next = () => this.nextPack();
  }

  /** Show rows of a table, in their order, from the first. @param {Table} table @param {Int32Array} rows */
  show(table, rows) {
    this.table = table;
    this.rows = rows;
    this.active = 0;
    this.anchor = 0;
    this.host.classList.toggle("pairs", table.previous !== null);
    this.host.scrollTop = 0;
    this.measure();
  }

  measure() {
    const pair = this.table?.previous ? TILE + 4 : 0;
    const width = this.host.clientWidth - 2 * MARGIN;
    this.height = this.host.clientHeight;
    this.columns = Math.max(1, Math.floor((width + GAP) / (TILE + pair + GAP)));
    this.pitch = (width + GAP) / this.columns;
    this.line = TILE + CAPTION + GAP;
    this.inset = MARGIN + (this.pitch - GAP - TILE - pair) / 2;
    const lines = Math.ceil(this.rows.length / this.columns);
    this.space.style.height = `${lines * this.line + 2 * MARGIN}px`;
    this.lines = Math.ceil((this.height + AHEAD + BEHIND) / this.line) + 1;
    this.refresh();
  }

  /** Fill every cell again, for example after a selection. */
  refresh() {
    this.version += 1;
    this.draw();
  }

  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.fill());
  }

  fill() {
    this.frame = 0;
    const { table, line = 1, pitch = 1, inset = 0, lines = 1 } = this;
    if (!table) return;
    const top = this.host.scrollTop;
    if (top !== this.top) this.down = top > this.top;
    this.top = top;
    const from = Math.max(0, Math.floor((top - MARGIN - (this.down ? BEHIND : AHEAD)) / line));
    const first = from * this.columns;
    const last = Math.min(this.rows.length, (from + lines) * this.columns);
    this.first = Math.max(0, Math.floor((top - MARGIN) / line)) * this.columns;
    const size = lines * this.columns;
    while (this.cells.length < size) this.cells.push(new Cell(this.space));
    /** @type {Set<string>} */
    const wanted = new Set();
    let filled = 0;
    for (let at = 0; at < size; at += 1) {
      // What can be seen comes first: from the first line on the screen to the end, then those above it.
      const seen = this.first - first;
      const position = first + ((at + seen) % size);
      const cell = this.cells[position % size];
      if (position >= last) {
        cell.hide();
        continue;
      }
      if (cell.position !== position || cell.version !== this.version || cell.waits) {
        if (filled >= CELLS_PER_FRAME) {
          this.draw();
          break;
        }
        if (cell.fill(this, table, position, wanted)) filled += 1;
        const x = Math.round(inset + (position % this.columns) * pitch);
        cell.place(x, MARGIN + Math.floor(position / this.columns) * line);
      }
    }
    for (let at = size; at < this.cells.length; at += 1) this.cells[at].hide();
    const active = this.cells[this.active % size];
    if (active?.position === this.active)
      this.host.setAttribute("aria-activedescendant", active.element.id);
    else this.host.removeAttribute("aria-activedescendant");
    packs.want([...wanted]);
    this.events.moved();
  }

  /** @param {Event} event */
  drawn(event) {
    const isPicture = event.target instanceof HTMLImageElement && event.target.naturalWidth > 1;
    if (isPicture) packs.most = 4;
    packs.pump();
  }

  /** Return the pack to load while nothing is urgent: the next ones below, and from a disk all of them. */
  nextPack() {
    const { table, rows } = this;
    if (!table || this.cells.some((cell) => !cell.images[0].complete)) return null;
    const local = location.protocol === "file:";
    const most = local ? rows.length : Math.min(rows.length, 2000);
    for (let at = 0; at < most; at += 1) {
      const path = table.packs[table.pack[rows[(this.first + at) % rows.length]]];
      if (path !== undefined && !asked.has(path)) return path;
    }
    return null;
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const position = this.positionOf(event);
    if (position < 0) return;
    this.active = position;
    if (!event.shiftKey) this.anchor = position;
    const mark = event.target instanceof Element && event.target.closest(".mark");
    if (event.shiftKey) this.events.select(position, "range");
    else if (mark || event.ctrlKey || event.metaKey) this.events.select(position, "one");
    else this.events.open(position);
    this.refresh();
  }

  /** @param {Event} event */
  positionOf(event) {
    const element = event.target instanceof Element ? event.target.closest(".cell") : null;
    return this.cells.find((cell) => cell.element === element)?.position ?? -1;
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const page = Math.max(1, Math.floor(this.height / (this.line ?? 1))) * this.columns;
    const steps = /** @type {Record<string, number>} */ ({
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columns,
      ArrowDown: this.columns,
      PageUp: -page,
      PageDown: page,
      Home: -this.rows.length,
      End: this.rows.length,
    });
    if (event.key in steps && !event.ctrlKey && !event.metaKey && !event.altKey) {
      this.move(this.active + steps[event.key]);
      if (event.shiftKey) this.events.select(this.active, "range");
      else this.anchor = this.active;
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      this.anchor = 0;
      this.events.select(this.rows.length - 1, "range");
    } else if (event.key === "Enter") this.events.open(this.active);
    else if (event.key === " ") this.events.select(this.active, "one");
    else return;
    event.preventDefault();
  }

  /** Make a position the active one, and scroll until it is seen. @param {number} position */
  move(position) {
    this.active = Math.max(0, Math.min(this.rows.length - 1, position));
    const top = MARGIN + Math.floor(this.active / this.columns) * (this.line ?? 1);
    const bottom = top + (this.line ?? 1);
    if (top < this.host.scrollTop) this.host.scrollTop = top - MARGIN;
    else if (bottom > this.host.scrollTop + this.height) this.host.scrollTop = bottom - this.height;
    this.refresh();
  }
}

class Cell {
  static made = 0;

  /** @param {HTMLElement} space */
  constructor(space) {
    this.position = -1;
    this.version = 0;
    this.waits = false;
    this.images = [
      make("img", { alt: "", decoding: "sync", draggable: "false" }),
      make("img", { alt: "", decoding: "sync", draggable: "false" }),
    ];
    /** @type {(string | null)[]} */
    this.shown = [];
    this.caption = make("span");
    this.element = make(
      "div",
      { class: "cell", role: "option", id: `cell-${(Cell.made += 1)}`, hidden: true },
      this.images[1],
      this.images[0],
      this.caption,
      make("span", { class: "mark" }),
    );
    space.append(this.element);
  }

  hide() {
    if (this.position < 0) return;
    this.position = -1;
    this.element.hidden = true;
  }

  /** @param {number} x @param {number} y */
  place(x, y) {
    this.element.style.transform = `translate(${x}px, ${y}px)`;
  }

  /**
   * Show a row; false if its picture was waited for, and still is.
   * @param {Grid} grid @param {Table} table @param {number} position @param {Set<string>} wanted
   */
  fill(grid, table, position, wanted) {
    const row = grid.rows[position];
    const waited = this.waits && this.position === position && this.version === grid.version;
    this.waits = false;
    this.picture(this.images[0], table, row, wanted);
    if (table.previous && table.before)
      this.picture(this.images[1], table.previous, table.before[row], wanted);
    if (waited) return !this.waits;
    this.position = position;
    this.version = grid.version;
    const [kind, caption] = grid.events.caption(row);
    const { element } = this;
    this.caption.textContent = caption;
    element.hidden = false;
    element.dataset.kind = kind;
    element.setAttribute("aria-label", grid.events.describe(row));
    element.setAttribute("aria-posinset", String(position + 1));
    element.setAttribute("aria-setsize", String(grid.rows.length));
    element.setAttribute("aria-selected", String(grid.selected.has(table.ids[row])));
    element.classList.toggle("active", position === grid.active);
    return true;
  }

  /** @param {HTMLImageElement} image @param {Table} table @param {number} row @param {Set<string>} wanted */
  picture(image, table, row, wanted) {
    const address = row < 0 ? "" : tileOf(table, row);
    if (address === null) {
      wanted.add(table.packs[table.pack[row]]);
      this.waits = true;
    }
    image.classList.toggle("absent", address === "");
    const which = image === this.images[0] ? 0 : 1;
    if (this.shown[which] === address) return;
    this.shown[which] = address;
    image.src = address || NOTHING;
  }
}
