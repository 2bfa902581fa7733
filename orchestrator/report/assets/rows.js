// The data of the page: tables by column become rows again when they are first asked for.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const decoded = new Map();
const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** The values of a column. */
function valuesOf(column, count) {
  if ("all" in column) return new Array(count).fill(column.all);
  if (column.is) return column.is;
  if (column.runs) return column.runs.flatMap((index, i) => (i % 2 ? [] : new Array(column.runs[i + 1]).fill(column.of[index])));
  const at = typeof column.at === "string" ? Array.from(column.at, (digit) => DIGITS.indexOf(digit)) : column.at;
  return at.map((index) => column.of[index]);
}

/** All rows of a chart, in order. */
function rowsOf(name) {
  if (!data.charts[name]) return [];
  if (!decoded.has(name)) {
    const { columns, rows: count } = data.charts[name];
    const named = Object.entries(columns).map(([key, column]) => [key, valuesOf(column, count)]);
    const rows = Array.from({ length: count }, (_, order) => {
      const row = { order };
      for (const [key, values] of named) row[key] = values[order];
      return row;
    });
    if (name === "exposure") rows.forEach((row) => { row.name = nameOf(row.example); });
    decoded.set(name, rows);
  }
  return decoded.get(name);
}

/** The rows of a chart at a place. */
function rowsAt(name, place) {
  return rowsOf(name).filter((row) => (Array.isArray(row.place) ? row.place.includes(place) : row.place === place));
}

/** An example as people read it. */
function nameOf(id) {
  const known = data.classes[id];
  return "#" + id + (known === undefined ? "" : ", class " + known);
}

/** The image of an example at a place, where there is one that shows it. */
function imageOf(id, at) {
  return data.unpictured.includes(at) ? undefined : data.images[id];
}

/** Distinct values, in the order of their first. */
function distinct(values) {
  return [...new Set(values)];
}

/** A number with at most so many digits after the point, and a proper minus sign. */
function written(value, digits = 3) {
  if (value === null || value === undefined) return "\u2013";
  const text = value.toFixed(digits);
  return Number(text) ? text.replace("-", "\u2212") : text.replace("-", "");
}
