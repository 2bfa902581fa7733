// The page: which place is shown, sorting and filtering, links into pages of methods, keyboard and print.
const find = document.getElementById("find"), verdict = document.getElementById("verdict"), chooser = document.getElementById("place");

/** Hides the models that do not fit, and says how many do. Controls stay. */
function filter() {
  if (!find) return;
  const text = find.value.trim().toLowerCase(), wanted = verdict.value;
  let shown = 0, all = 0;
  for (const row of document.querySelectorAll(".board tbody:not(.pin) tr")) {
    row.hidden = !(row.cells[0].textContent.toLowerCase().includes(text) && (!wanted || row.querySelector(".chip").textContent === wanted));
    if (row.closest(".of-place").hidden) continue;
    all += 1;
    shown += !row.hidden;
  }
  document.getElementById("count").textContent = shown + " of " + all + " models";
}

const VERDICT = 1;
const standings = new Map([...document.querySelectorAll(".board tbody:not(.pin) tr")].map((row, at) => [row, at]));

/** What a cell is sorted by: a name, where the model stands by its verdict, or a number, of several the highest; none comes last. */
function keyOf(row, column) {
  if (column === 0) return row.cells[0].textContent;
  if (column === VERDICT) return standings.get(row);
  const cell = row.cells[column], own = [...cell.querySelectorAll("b")];
  return Math.max(...(own.length ? own : [cell.firstChild]).map((node) => parseFloat(node.textContent.replace("\u2212", "-"))));
}

/** Sorts the models of a table by a column, below the controls. */
function sort(board, head, column) {
  const up = head.getAttribute("aria-sort") !== "ascending", body = board.querySelector("tbody:not(.pin)");
  for (const other of board.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...body.rows].sort((a, b) => {
    const x = keyOf(a, column), y = keyOf(b, column);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return (typeof x === "string" ? x.localeCompare(y) : x - y) * (up ? 1 : -1);
  });
  body.append(...rows);
}

/** Makes the headings of a table buttons that sort. */
function sortable(board) {
  [...board.tHead.rows[0].cells].forEach((head, column) => {
    const button = make("button", head.textContent, null, { type: "button" });
    if (head.title) button.title = head.title;
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(board, head, column));
  });
}

/** Shows a place in all sections. */
function show(number) {
  place = number;
  if (chooser) chooser.value = String(number);
  for (const node of document.querySelectorAll(".of-place")) node.hidden = Number(node.dataset.ofPlace) !== number;
  document.querySelectorAll("details[data-rows][open]").forEach(fillRows);
  filter();
  redraw();
}

/** Follows a link to the page of a method or to a query, which it opens. */
function follow() {
  let name = location.hash.slice(1);
  try { name = decodeURIComponent(name); } catch { /* a bare % in a name */ }
  const node = document.getElementById(name);
  if (name.startsWith("method-")) openMethod(name.slice(7));
  else if (node?.tagName === "DETAILS") node.open = true;
}

document.addEventListener("click", (event) => {
  const example = event.target.closest("[data-example]"), at = event.target.closest("a[data-place]"), link = event.target.closest("a[href^='#method-']");
  if (example) showExample(Number(example.dataset.example), Number(example.dataset.at));
  else if (at) show(Number(at.dataset.place));
  else if (link) { event.preventDefault(); openMethod(link.getAttribute("href").slice(8)); }
});
document.querySelectorAll(".board").forEach(sortable);
document.querySelectorAll("[data-of-method]").forEach((page) => page.addEventListener("toggle", () => page.open && fillMethod(page)));
chooser?.addEventListener("change", () => show(Number(chooser.value)));
for (const input of [find, verdict]) input?.addEventListener("input", filter);
for (const select of document.querySelectorAll("[data-choice]")) select.addEventListener("change", () => drawFigure(select.closest("figure")));

let shut = [];
addEventListener("beforeprint", () => {
  shut = [...document.querySelectorAll("main details:not([open]):not(.source)")];
  for (const node of shut) { node.open = true; if (node.dataset.ofMethod !== undefined) fillMethod(node); }
  drawAll();
});
addEventListener("afterprint", () => shut.forEach((node) => { node.open = false; }));
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
addEventListener("hashchange", follow);
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

document.documentElement.classList.add("js");
const told = document.querySelector(".answers a[data-place]");
if (data.places.length) show(told ? Number(told.dataset.place) : 0);
follow();
document.body.dataset.ready = "1";
