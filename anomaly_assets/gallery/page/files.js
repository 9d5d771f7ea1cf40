"use strict";
// Data files are scripts that call one function of `gallery`: from a disk, a page can read nothing else.

/** @type {Map<string, any>} what the files that are here hold */
const delivered = new Map();
/** @type {Map<string, Promise<any>>} */
const asked = new Map();

const gallery = {
  /** @param {Snapshot} value */
  snapshot: (value) => void delivered.set("snapshot.js", value),
  /** @param {string} digest @param {string} text */
  index: (digest, text) => void delivered.set(`data/index-${digest}.js`, JSON.parse(text)),
  /** @param {string} path @param {string[]} tiles */
  tiles: (path, tiles) => void delivered.set(path, tiles),
  /** @param {string} path @param {Details[]} rows */
  details: (path, rows) => void delivered.set(path, rows),
};

/**
 * Load a data file once, and return what it holds.
 * @param {string} path below the gallery's folder
 * @returns {Promise<any>} rejected if the file is missing or delivers nothing
 */
function load(path) {
  let promise = asked.get(path);
  if (!promise) {
    promise = new Promise((resolve, reject) => {
      if (!/^(snapshot\.js|(data|tiles|details)\/[\w.-]+)$/.test(path)) {
        reject(new Error(`${path} is not a file of a gallery`));
        return;
      }
      const script = document.createElement("script");
      // Its name stays while its content changes, so a server's copy must not be taken from a cache.
      const fresh = path === "snapshot.js" && location.protocol !== "file:" ? `?${Date.now()}` : "";
      script.src = path + fresh;
      script.onload = () => {
        script.remove();
        if (delivered.has(path)) resolve(delivered.get(path));
        else reject(new Error(`${path} is not of this gallery`));
      };
      script.onerror = () => {
        script.remove();
        reject(new Error(`${path} is missing`));
      };
      document.head.append(script);
    });
    asked.set(path, promise);
  }
  return promise;
}

const whenIdle =
  window.requestIdleCallback ?? ((/** @type {() => void} */ callback) => setTimeout(callback, 50));

/** Packs of tiles. Those on the screen are loaded a few at a time; those that come next only while nothing else is to do. */
const packs = {
  running: 0,
  /** At once: one until the first picture is drawn, so that it does not wait for the others. */
  most: 1,
  idle: false,
  /** @type {Set<string>} */
  missing: new Set(),
  /** @type {string[]} */
  urgent: [],
  /** @type {() => string | null} */
  next: () => null,
  /** @type {(path: string) => void} */
  arrived: () => {},

  /** @param {string[]} paths those that cells on the screen wait for */
  want(paths) {
    this.urgent = paths.filter((path) => !asked.has(path));
    this.pump();
  },

  pump() {
    while (this.running < this.most) {
      const path = this.urgent.shift();
      if (path === undefined) break;
      if (!asked.has(path)) this.fetch(path);
    }
    if (this.running || this.idle) return;
    this.idle = true;
    whenIdle(() => {
      this.idle = false;
      const path = this.running ? null : this.next();
      if (path !== null) this.fetch(path);
    });
  },

  /** @param {string} path */
  fetch(path) {
    this.running += 1;
    load(path)
      .catch(() => this.missing.add(path))
      .then(() => {
        this.running -= 1;
        this.arrived(path);
        this.pump();
      });
  },
};

/**
 * Return the picture of a row as a data URL; "" if there is none; null while its pack is on its way.
 * @param {Table} table
 * @param {number} row
 */
function tileOf(table, row) {
  const path = table.packs[table.pack[row]];
  if (path === undefined || packs.missing.has(path)) return "";
  const tiles = delivered.get(path);
  if (!tiles) return null;
  const tile = tiles[table.slot[row]];
  return tile ? `data:image/webp;base64,${tile}` : "";
}

// The index is the largest file: it is asked for before the other scripts are read.
load("snapshot.js")
  .then((/** @type {Snapshot} */ snapshot) => load(snapshot.index))
  .catch(() => {});
