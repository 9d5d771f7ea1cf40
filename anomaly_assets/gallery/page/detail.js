"use strict";
// The dialog of one image: its picture, the outline of its defect, the heat map, and every column.

class Detail {
  /** @param {{step: (by: number) => void, closed: () => void, select: (id: string) => void, isSelected: (id: string) => boolean}} events */
  constructor(events) {
    this.events = events;
    this.dialog = byId("detail", HTMLDialogElement);
    this.stage = byId("stage", HTMLElement);
    this.facts = byId("facts", HTMLElement);
    this.outline = byId("outline", HTMLInputElement);
    this.heat = byId("heat", HTMLInputElement);
    this.strength = byId("strength", HTMLInputElement);
    this.mark = byId("mark", HTMLButtonElement);
    this.id = "";
    this.dialog.addEventListener("close", () => {
      this.id = "";
      events.closed();
    });
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
    byId("earlier", HTMLButtonElement).addEventListener("click", () => events.step(-1));
    byId("later", HTMLButtonElement).addEventListener("click", () => events.step(1));
    this.mark.addEventListener("click", () => this.toggleSelected());
    for (const input of [this.outline, this.heat, this.strength])
      input.addEventListener("input", () => this.layers());
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === this.strength) return;
    const key = event.key.toLowerCase();
    if (key === "arrowleft") this.events.step(-1);
    else if (key === "arrowright") this.events.step(1);
    else if (key === "o" && !this.outline.disabled) this.outline.click();
    else if (key === "h" && !this.heat.disabled) this.heat.click();
    else if (key === "s") this.toggleSelected();
    else return;
    event.preventDefault();
  }

  toggleSelected() {
    this.events.select(this.id);
    this.selection();
  }

  selection() {
    const selected = this.events.isSelected(this.id);
    this.mark.setAttribute("aria-pressed", String(selected));
    this.mark.textContent = selected ? "Selected" : "Select";
  }

  layers() {
    this.stage.classList.toggle("outlined", this.outline.checked);
    this.stage.classList.toggle("heated", this.heat.checked);
    this.stage.style.setProperty("--heat", String(Number(this.strength.value) / 100));
  }

  /**
   * Show a row; its details follow when their file is here.
   * @param {Table} table @param {number} row @param {string} place such as "3 of 120"
   */
  async show(table, row, place) {
    const id = table.ids[row];
    this.id = id;
    byId("name", HTMLElement).textContent = id.slice(id.lastIndexOf("/") + 1);
    byId("path", HTMLElement).textContent = id;
    byId("place", HTMLElement).textContent = place;
    this.selection();
    this.picture(table, row, null);
    this.facts.replaceChildren(...this.known(table, row));
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.dialog.focus(); // not the first button: Enter would show another image
    }
    const path = table.details[table.detail[row]];
    if (path === undefined) return;
    /** @type {Details[]} */
    const chunk = await load(path).catch(() => []);
    const details = chunk.find((each) => each.columns.image_id === id);
    if (this.id !== id || !details) return;
    this.picture(table, row, details);
    this.facts.replaceChildren(...this.known(table, row), ...this.columns(details));
  }

  /** @param {Table} table @param {number} row @param {Details | null} details */
  picture(table, row, details) {
    const address = details?.image ? pictureOf(details.image) : tileOf(table, row);
    const children = [];
    if (table.previous && table.before) {
      const old = table.before[row];
      const before = old < 0 ? "" : tileOf(table.previous, old);
      children.push(figureOf(before, table.pack[row] < 0 ? "before (removed since)" : "before"));
    }
    if (table.pack[row] >= 0) {
      const now = figureOf(address, table.previous ? "now" : "");
      if (details?.mask?.length) now.firstElementChild?.append(outlineOf(details.mask));
      if (details?.map) now.firstElementChild?.append(heatOf(details.map));
      children.push(now);
    }
    this.stage.replaceChildren(...children);
    this.outline.disabled = !details?.mask?.length;
    this.heat.disabled = !details?.map;
    this.strength.disabled = !details?.map;
    this.layers();
  }

  /** Return what the index has of a row. @param {Table} table @param {number} row */
  known(table, row) {
    const rows = [];
    for (const field of table.fields.values()) {
      if (field.key.startsWith("a.") || !field.codes || field.codes[row] < 0) continue;
      const old =
        table.previous && table.before && table.before[row] >= 0
          ? wordOf(table.previous, field.key, table.before[row])
          : null;
      const word = field.words[field.codes[row]];
      const moved = old !== null && old !== word && table.pack[row] >= 0 && field.key !== "change";
      rows.push([
        field.title,
        `${moved ? `${old || "none"} → ` : ""}${field.key === "category" ? word.slice(word.indexOf("/") + 1) : word}`,
      ]);
    }
    for (const measure of table.measures.values()) {
      if (!measure.key.startsWith("a.") && !Number.isNaN(measure.values[row]))
        rows.push([measure.title, shownNumber(measure, measure.values[row])]);
    }
    const field = table.fields.get("check");
    const checks = checksOf(table, row).map((check) =>
      make("li", {}, make("b", {}, field?.labels[check] ?? ""), ` ${field?.notes?.[check] ?? ""}`),
    );
    return [checks.length ? make("ul", { class: "checks" }, ...checks) : "", listOf(rows)];
  }

  /** @param {Details} details */
  columns(details) {
    const attributes = Object.entries(details.attributes ?? {}).filter(([, value]) => value !== null);
    const parts = attributes.length ? [make("h3", {}, "Attributes"), listOf(attributes)] : [];
    const columns = Object.entries(details.columns).filter(([name]) => name !== "attributes");
    return [...parts, make("h3", {}, "Columns"), listOf(columns)];
  }
}

/** @param {string | null} address @param {string} caption */
function figureOf(address, caption) {
  const frame = make("div", { class: "frame" }, make("p", {}, address ? "" : "no picture"));
  if (address) {
    const image = make("img", {
      src: address,
      alt: caption || "the image",
      load: () => {
        // Outline and heat map cover the frame, so the frame has the shape of the image.
        frame.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight));
      },
    });
    frame.replaceChildren(image);
  }
  return make("figure", {}, frame, caption ? make("figcaption", {}, caption) : null);
}

/** @param {string} content base64 of a JPEG or WebP */
function pictureOf(content) {
  return `data:image/${content.startsWith("/9j/") ? "jpeg" : "webp"};base64,${content}`;
}

/** @param {[string, unknown][] | any[][]} rows */
function listOf(rows) {
  const items = rows.flatMap(([name, value]) => [
    make("dt", {}, String(name)),
    make(
      "dd",
      {},
      value === null || value === undefined
        ? "–"
        : typeof value === "object"
          ? JSON.stringify(value)
          : String(value),
    ),
  ]);
  return make("dl", {}, ...items);
}

/** Draw the outline of a mask. @param {NonNullable<Details["mask"]>} polygons */
function outlineOf(polygons) {
  const path = polygons
    .map((polygon) => {
      const numbers = polygon.flat();
      let text = "";
      for (let at = 0; at + 1 < numbers.length; at += 2)
        text += `${at ? "L" : "M"}${Number(numbers[at])} ${Number(numbers[at + 1])}`;
      return `${text}Z`;
    })
    .join("");
  const attributes = {
    viewBox: "0 0 1 1",
    preserveAspectRatio: "none",
    class: "outline",
    "aria-hidden": "true",
  };
  return draw(
    "svg",
    attributes,
    draw("path", { d: path, class: "under" }),
    draw("path", { d: path, class: "over" }),
  );
}

/** Colour a grey heat map: from nothing over violet and orange to yellow. @param {string} map base64 of a WebP */
function heatOf(map) {
  const canvas = make("canvas", { class: "map", "aria-hidden": "true" });
  const image = new Image();
  image.onload = () => {
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    if (!context) return;
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < pixels.data.length; at += 4) {
      const heat = pixels.data[at] / 255;
      pixels.data[at] = 255 * Math.min(1, 0.25 + 1.3 * heat);
      pixels.data[at + 1] = 255 * Math.max(0, Math.min(1, 1.9 * heat - 0.75));
      pixels.data[at + 2] = 255 * Math.max(0, 0.55 - 0.6 * heat);
      pixels.data[at + 3] = 255 * Math.min(1, 1.5 * heat);
    }
    context.putImageData(pixels, 0, 0);
  };
  image.src = `data:image/webp;base64,${map}`;
  return canvas;
}
