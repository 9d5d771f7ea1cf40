"use strict";
// The dialogs with the code for what is on the screen, and with its images as lines.

/** Images that code names one by one; more of them make a query that nobody reads. */
const MOST_NAMED = 5000;

/** @typedef {{table: Table, view: View, rows: Int32Array, selected: Set<string>}} Shown */

/** @param {Shown} shown @returns {string[]} the selected ids, else those on the screen that the snapshot has */
function idsOf({ table, rows, selected }) {
  return selected.size
    ? [...selected]
    : Array.from(rows)
        .filter((row) => table.pack[row] >= 0)
        .map((row) => table.ids[row]);
}

/** @param {Shown} shown */
function showCode(shown) {
  const { table, view, selected } = shown;
  // No filter of the database can name what changed between two snapshots.
  const named = selected.size || table.previous ? idsOf(shown) : [];
  const ids = named.slice(0, MOST_NAMED);
  const left = named.length - ids.length;
  byId("code-note", HTMLElement).textContent = named.length
    ? `${shownCount(ids.length)} images by their ids${left ? `; ${shownCount(left)} more are left out. Export their ids instead.` : "."}`
    : `${shownCount(shown.rows.length)} images by the filters on the screen.`;
  if (table.previous && !named.length)
    byId("code-note", HTMLElement).textContent = "No image of this view is in the newer snapshot.";
  byId("python", HTMLElement).textContent = pythonOf(table, view, ids);
  byId("sql", HTMLElement).textContent = sqlOf(table, view, ids);
  byId("code", HTMLDialogElement).showModal();
}

/** @param {string} published a time with or without a zone, which is UTC then */
function inUtc(published) {
  const time = new Date(
    /([zZ]|[+-]\d\d:?\d\d)$/.test(published) ? published : `${published.replace(" ", "T")}Z`,
  );
  return Number.isNaN(time.getTime()) ? published : time.toISOString().slice(0, 19);
}

class Exporter {
  constructor() {
    this.text = "";
    this.file = "";
    /** @type {Shown | null} */
    this.shown = null;
    const dialog = byId("export", HTMLDialogElement);
    dialog.addEventListener("input", () => this.write());
    const copy = byId("copy-lines", HTMLButtonElement);
    copy.addEventListener("click", async () => copyText(await this.write(true), copy));
    byId("save-lines", HTMLButtonElement).addEventListener("click", async () =>
      saveText(await this.write(true), this.file),
    );
  }

  /** @param {Shown} shown */
  show(shown) {
    this.shown = shown;
    const some = shown.selected.size;
    const count = shownCount(idsOf(shown).length);
    byId("export-note", HTMLElement).textContent = some
      ? `${count} selected images.`
      : `All ${count} images on the screen. Select some to export only those.`;
    this.write();
    byId("export", HTMLDialogElement).showModal();
  }

  /** Write all lines, and show the first. @param {boolean} [whole] with the digests of all contents */
  async write(whole = false) {
    const { shown } = this;
    if (!shown) return "";
    const kind = document.querySelector("input[name=kind]:checked");
    const corrections = kind instanceof HTMLInputElement && kind.value === "corrections";
    byId("correction", HTMLElement).hidden = !corrections;
    const ids = idsOf(shown);
    const wanted = whole ? ids : ids.slice(0, 12);
    this.file = corrections ? "corrections.csv" : "image_ids.txt";
    this.allow(true);
    const text = corrections ? await this.corrections(shown, wanted) : [...wanted, ""].join("\n");
    const more = ids.length - wanted.length;
    if (!whole)
      byId("lines", HTMLElement).textContent = text + (more > 0 ? `… and ${shownCount(more)} more` : "");
    return text;
  }

  /** Lines without a value correct nothing. @param {boolean} usable */
  allow(usable) {
    for (const name of ["copy", "save"]) byId(`${name}-lines`, HTMLButtonElement).disabled = !usable;
  }

  /** @param {Shown} shown @param {string[]} ids */
  async corrections({ table }, ids) {
    const field = byId("line-field", HTMLSelectElement).value;
    const key = field === "defect_type" ? "defect" : field;
    const values = field === "exclude" ? ["true"] : (table.fields.get(key)?.words ?? []);
    byId("line-values", HTMLElement).replaceChildren(...values.map((value) => make("option", { value })));
    const box = byId("line-value", HTMLInputElement);
    box.placeholder = values.length ? `such as ${values[0]}` : "";
    const value = box.value || (field === "exclude" ? "true" : "");
    this.allow(value !== "");
    const contents = await contentsOf(table, ids);
    // The line is for the content of this snapshot: content that a file gets later is not corrected.
    return correctionsOf(
      ids.map((id) => ({ id, content: contents.get(id) ?? "" })),
      {
        field,
        value,
        reason: byId("line-reason", HTMLInputElement).value,
        by: byId("line-by", HTMLInputElement).value,
        at: inUtc(table.snapshot.published_at),
      },
    );
  }
}

/**
 * Read the digests of contents from the details, which have them in full.
 * @param {Table} table @param {string[]} ids
 * @returns {Promise<Map<string, string>>} without the images that have no details
 */
async function contentsOf(table, ids) {
  const wanted = new Set(ids);
  const paths = new Set();
  table.ids.forEach(
    (id, row) =>
      wanted.has(id) && table.details[table.detail[row]] && paths.add(table.details[table.detail[row]]),
  );
  const chunks =
    ids.length > MOST_NAMED ? [] : await Promise.all([...paths].map((path) => load(path).catch(() => [])));
  return new Map(chunks.flat().map(({ columns }) => [columns.image_id, columns.content_sha256 ?? ""]));
}
