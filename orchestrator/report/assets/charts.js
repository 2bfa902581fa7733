// Charts: each figure draws the rows of the place and of its choices when it comes near, and all of them before printing.
const WIDEST = { forest: 620, exposure: 1120, robustness: 232, order: 290, stopping: 290, history: 290 };
const views = new Map();
let place = 0;

/** A new element with text, never markup: names come from users. */
function make(tag, text, parent, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== null) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

const tip = make("div", null, document.body, { class: "tip", role: "status", hidden: "" });

/** Shows what a dot is, beside the pointer. */
function point(_, event, item, value) {
  tip.replaceChildren();
  tip.hidden = !value;
  if (!value) return;
  const image = imageOf(item?.datum?.example, place);
  if (image) make("img", null, tip, { src: image, alt: "" });
  const list = make("dl", null, tip);
  for (const [title, shown] of Object.entries(value)) {
    if (shown === "" || shown === "null" || shown === "NaN") continue;
    make("dt", title, list);
    make("dd", String(shown), list);
  }
  const { clientX: x, clientY: y } = event, { offsetWidth: width, offsetHeight: height } = tip;
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - width - 8)) + "px";
  tip.style.top = Math.max(4, y + 16 + height > innerHeight ? y - height - 10 : y + 16) + "px";
}

/** Draws rows into a box. */
function draw(box, name, rows, who) {
  views.get(box)?.finalize();
  box.replaceChildren();
  const room = Math.max(120, Math.min(box.clientWidth, WIDEST[name] ?? 860));
  const description = vegaSlim.parse(structuredClone(data.specs[name]), null, { ast: true });
  const view = new vegaSlim.View(description, {
    renderer: "svg", container: box, hover: true, expr: vegaSlim.expressionInterpreter, logLevel: 0,
  });
  view.tooltip(point).width(room).data("rows", rows);
  if (who !== undefined) view.signal("who", who);
  view.addEventListener("click", (_, item) => clicked(item));
  views.set(box, view);
  return view.runAsync();
}

/** Opens what a dot stands for: an example, or the page of a method. */
function clicked(item) {
  const row = item?.datum;
  if (!row) return;
  tip.hidden = true;
  if (row.example !== undefined) showExample(row.example, place);
  else if (row.method && row.role === "audited") openMethod(row.method);
}

/** Fills the choices of a figure with the values that the place has; keeps what was chosen where it can. */
function choose(figure, rows) {
  let left = rows;
  for (const select of figure.querySelectorAll("[data-choice]")) {
    const key = select.dataset.choice;
    const values = distinct(left.map((row) => row[key]).filter((value) => value !== null));
    const kept = values.includes(select.value) ? select.value : values[Math.min(Number(figure.dataset.copy), values.length - 1)];
    select.replaceChildren(...values.map((value) => make("option", value, null, { value })));
    if (kept !== undefined) select.value = kept;
    select.closest("label").hidden = values.length < 2;
    left = left.filter((row) => row[key] === null || row[key] === kept);
  }
  return left;
}

/** Draws a figure at the current place. */
function drawFigure(figure) {
  const name = figure.dataset.chart, rows = choose(figure, rowsAt(name, place));
  const box = figure.querySelector(".chart, .many");
  figure.querySelector(".empty").hidden = rows.length > 0;
  box.hidden = !rows.length;
  if (!rows.length) return [];
  if (box.classList.contains("many")) return drawPanels(box, name, rows);
  const chosen = [...figure.querySelectorAll("[data-choice]")].map((select) => select.value).join(", ");
  box.setAttribute("aria-label", [data.charts[name].title, data.places[place], chosen].filter(Boolean).join(", ") + ": " + rows.length + " rows; the table below it holds the same numbers");
  return [draw(box, name, rows)];
}

/** One panel for each method, or for each model. */
function drawPanels(box, name, rows) {
  for (const node of box.querySelectorAll(".chart")) { views.get(node)?.finalize(); views.delete(node); }
  box.replaceChildren();
  const own = (row) => row.panel ?? (row.role === "audited" ? row.method : null);
  return distinct(rows.map(own).filter(Boolean)).map((who) => {
    const panel = make("div", null, box);
    make("p", who, panel, { class: "who" });
    const node = make("div", null, panel, { class: "chart", role: "img", "aria-label": data.charts[name].title + ", " + who, "aria-describedby": "rows-" + name });
    return draw(node, name, rows, who);
  });
}

const figures = [...document.querySelectorAll("figure[data-chart]")];
const waiting = new Set();
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting && waiting.delete(entry.target)) drawFigure(entry.target);
}, { rootMargin: "700px" });

/** Has every figure drawn anew when it comes near. */
function redraw() {
  for (const figure of figures) { waiting.add(figure); near.unobserve(figure); near.observe(figure); }
}

/** Draws at once what has not come near yet. */
function drawAll() {
  for (const figure of [...waiting]) { waiting.delete(figure); drawFigure(figure); }
}
