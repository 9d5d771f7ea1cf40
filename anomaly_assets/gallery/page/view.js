"use strict";
// What is on the screen, as the part of the address after "#": it can be sent to a colleague.

/** @returns {View} */
function emptyView() {
  return { chosen: {}, ranges: {}, search: "", sort: "", image: "", against: "" };
}

/** @param {View} view @returns {string} such as "label=anomalous&area=0.03..&sort=-area" */
function addressOf(view) {
  const parts = new URLSearchParams();
  for (const [key, words] of Object.entries(view.chosen)) {
    for (const word of words) parts.append(key, word);
  }
  for (const [key, [low, high]] of Object.entries(view.ranges))
    parts.append(key, `${low ?? ""}..${high ?? ""}`);
  for (const key of /** @type {const} */ (["search", "sort", "image", "against"])) {
    if (view[key]) parts.append(key, view[key]);
  }
  return parts.toString();
}

/**
 * Read an address. What is unknown in it is ignored, so that an old address still opens.
 * @param {string} address
 * @param {Table} table
 * @returns {View}
 */
function viewOf(address, table) {
  const view = emptyView();
  for (const [key, value] of new URLSearchParams(address.replace(/^#/, ""))) {
    const range = /^(-?[\d.eE+-]*)\.\.(-?[\d.eE+-]*)$/.exec(value);
    if (key === "search" || key === "image" || key === "against") view[key] = value;
    else if (key === "sort" && table.measures.has(value.replace(/^-/, ""))) view.sort = value;
    else if (table.measures.has(key) && range) {
      const [low, high] = [numberOrNull(range[1]), numberOrNull(range[2])];
      if (low !== null || high !== null) view.ranges[key] = [low, high];
    } else if (table.fields.has(key) || key === "change") (view.chosen[key] ??= []).push(value);
  }
  return view;
}

/** @param {string} text */
function numberOrNull(text) {
  const value = text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

/** Show a number as people read it. @param {Measure} measure @param {number} value */
function shownNumber(measure, value) {
  if (Number.isNaN(value)) return "–";
  if (measure.kind === "time") return shownTime(value).slice(0, 16);
  if (measure.kind === "share") return `${(value * 100).toFixed(value > 0 && value < 0.0995 ? 2 : 1)} %`;
  return Number.isInteger(value) ? String(value) : value.toPrecision(4);
}

/** Show a time in UTC. @param {number} seconds since 1970 */
function shownTime(seconds) {
  return new Date(seconds * 1000).toISOString().replace("T", " ");
}

/** @param {number} count */
function shownCount(count) {
  return count.toLocaleString("en-GB");
}
