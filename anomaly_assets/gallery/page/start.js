"use strict";
// What happens once: the head of the page, colours, the first view, and the message if a file is missing.

/**
 * Fill what stays the same: the title, the choices of order and comparison, and the views.
 * @param {Snapshot} snapshot @param {Table} table
 */
function fillHead(snapshot, table) {
  const { id, published_at, images } = snapshot.snapshot;
  const when = (/** @type {string} */ time) => inUtc(time).slice(0, 16).replace("T", " ");
  byId("about", HTMLElement).textContent =
    `${shownCount(images)} images · ${when(published_at)} UTC · snapshot ${id.slice(0, 12)}`;
  const option = (/** @type {string} */ value, /** @type {string} */ text) =>
    make("option", { value }, text);
  const ways = {
    number: ["highest first", "lowest first"],
    share: ["highest first", "lowest first"],
    time: ["newest first", "oldest first"],
  };
  byId("sort", HTMLSelectElement).append(
    option("", "Dataset and name"),
    ...[...table.measures.values()].flatMap(({ key, title, kind }) => [
      option(`-${key}`, `${title}, ${ways[kind][0]}`),
      option(key, `${title}, ${ways[kind][1]}`),
    ]),
  );
  byId("against", HTMLSelectElement).append(
    option("", "with nothing"),
    ...snapshot.previous.map((each) =>
      option(each.id, `with ${when(each.published_at)} (${each.id.slice(0, 12)})`),
    ),
  );
  byId("compare", HTMLElement).hidden = snapshot.previous.length === 0;
  byId("views", HTMLElement).append(
    ...viewsOf(table, snapshot).map(([title, view]) => make("a", { href: `#${addressOf(view)}` }, title)),
  );
}

/**
 * Return views that answer what people ask first.
 * @param {Table} table @param {Snapshot} snapshot
 * @returns {[string, View][]}
 */
function viewsOf(table, snapshot) {
  const of = (/** @type {Partial<View>} */ part) => ({ ...emptyView(), ...part });
  /** @type {[string, View][]} */
  const views = [["All images", of({})]];
  const checks = table.fields.get("check")?.words;
  if (checks) views.push(["Named by failed checks", of({ chosen: { check: checks } })]);
  if (table.measures.has("rank")) {
    views.push([
      "Missed defects",
      of({ chosen: { label: ["anomalous"] }, ranges: { rank: [null, 0.95] }, sort: "rank" }),
    ]);
    views.push([
      "False alarms",
      of({ chosen: { label: ["good"] }, ranges: { rank: [0.95, null] }, sort: "-rank" }),
    ]);
  }
  if (table.measures.has("area"))
    views.push(["Largest defects", of({ chosen: { label: ["anomalous"] }, sort: "-area" })]);
  if (table.measures.has("loaded")) views.push(["Loaded last", of({ sort: "-loaded" })]);
  if (snapshot.previous.length)
    views.push(["Changed since last snapshot", of({ against: snapshot.previous[0].id })]);
  return views;
}

/** Follow the system's colours, or those that were chosen. */
function theme() {
  const button = byId("theme", HTMLButtonElement);
  const names = /** @type {Record<string, string>} */ ({
    "": "as the system",
    light: "light",
    dark: "dark",
  });
  /** @param {string} name */
  const set = (name) => {
    document.documentElement.dataset.theme = name;
    button.title = `Colours: ${names[name]}`;
    button.setAttribute("aria-label", button.title);
  };
  const kept = "anomaly-gallery-theme";
  try {
    set(localStorage.getItem(kept) ?? "");
  } catch {
    set(""); // a browser that keeps nothing for files
  }
  button.addEventListener("click", () => {
    const order = Object.keys(names);
    set(order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length]);
    try {
      localStorage.setItem(kept, document.documentElement.dataset.theme ?? "");
    } catch {
      // The choice lasts until the page is closed.
    }
  });
}

async function start() {
  theme();
  const loading = byId("loading", HTMLElement);
  try {
    /** @type {Snapshot} */
    const snapshot = await load("snapshot.js");
    if (snapshot.format !== 1)
      throw new Error("this page cannot read the format of its data: build the gallery again");
    const page = new Page(snapshot, tableOf(await load(snapshot.index)));
    page.read();
    loading.remove();
  } catch (error) {
    loading.className = "failed";
    loading.textContent = `The gallery cannot be opened: ${error instanceof Error ? error.message : error}. Copy its whole folder, or run make gallery.`;
  }
}

start();
