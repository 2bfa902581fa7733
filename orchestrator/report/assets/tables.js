// Tables: of rows anywhere, and of the rows of each chart at the place that is shown, made when they are opened.
const MOST_TABLE_ROWS = 400;

/** A table with headings, in a box that scrolls. A cell is a text, or a text with a class and a smaller line. */
function table(parent, headings, rows, label) {
  const scroll = make("div", null, parent, { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
  const made = make("table", null, scroll), top = make("tr", null, make("thead", null, made));
  for (const heading of headings) make("th", heading, top, { scope: "col" });
  const body = make("tbody", null, made);
  for (const cells of rows) line(body, cells);
  return made;
}

/** A row of a table, headed by its first cell. */
function line(body, cells) {
  const row = make("tr", null, body);
  cells.forEach((cell, i) => {
    const { text, look, small } = typeof cell === "object" ? cell : { text: cell };
    const made = make(i ? "td" : "th", text, row, { ...(i ? {} : { scope: "row" }), ...(look ? { class: look } : {}) });
    if (small) make("small", small, made);
  });
}

/** A difference with its sign. */
function signed(value) {
  return (Number(value.toFixed(3)) > 0 ? "+" : "") + written(value);
}

/** An interval of a difference. */
function between(low, high) {
  return low === null || high === null ? "no interval" : signed(low) + " to " + signed(high);
}

/** What a column of the table of a chart shows of a row. */
function shown(row, [, name, low, high]) {
  const value = row[name];
  if (typeof value === "boolean") return value ? "yes" : "";
  if (typeof value === "string") return value;
  if (name === "p" && value !== null && value < 0.001) return "< 0.001";
  if (typeof value === "number" && ["example", "epoch"].includes(name)) return String(value);
  const ends = low && typeof row[low] === "number" ? " (" + written(row[low]) + " to " + written(row[high]) + ")" : "";
  return written(value) + ends;
}

/** Fills the table of a chart with its rows at the place. */
function fillRows(details) {
  const name = details.dataset.rows, headings = data.tables[name], rows = rowsAt(name, place), title = details.firstElementChild.textContent;
  if (!headings) return;
  while (details.children.length > 1) details.lastElementChild.remove();
  table(details, headings.map(([heading]) => heading), rows.slice(0, MOST_TABLE_ROWS).map((row) => headings.map((heading) => shown(row, heading))), title);
  if (rows.length > MOST_TABLE_ROWS) make("p", "The first " + MOST_TABLE_ROWS + " of " + rows.length + " rows; the query has all.", details, { class: "note" });
}

for (const details of document.querySelectorAll("details[data-rows]")) {
  details.addEventListener("toggle", () => details.open && fillRows(details));
}
