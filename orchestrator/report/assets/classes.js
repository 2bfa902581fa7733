// What a chosen model does to which class: its answers beside those of the retrained one.

/** A difference of shares in thousandths, as percentage points. */
function points(thousandths) {
  const size = Math.abs(thousandths) / 10, text = (size < 10 ? size.toFixed(1) : size.toFixed(0)).replace(/\.0$/, "");
  return (thousandths > 0 ? "+" : thousandths < 0 ? "\u2212" : "") + text;
}

/** A cell of a matrix. */
function answer(row, share, retrained, right) {
  const d = share - retrained, hit = right ? "hit " : "";
  if (!share && !retrained) return make("td", "0", row, { class: hit + "nil" });
  const cell = make("td", points(d), row, { class: hit + (d > 0 ? "more" : d < 0 ? "less" : "") });
  if (d) cell.style.setProperty("--w", tint(d));
  make("small", Math.round(share / 10) + " %", cell);
  return cell;
}

/** How much colour a difference has: small ones show too, and words stay legible on large ones. */
function tint(thousandths) {
  return Math.round(4 + 1.3 * Math.sqrt(Math.abs(thousandths))) + "%";
}

/** Draws a matrix into a box. */
function drawMatrix(box, matrix) {
  const { names } = data.confusion, size = matrix.classes.length, held = new Map(matrix.cells.map(([row, column, ...shares]) => [row + "," + column, shares]));
  const others = matrix.cells.some(([, column]) => column === size), columns = others ? size + 1 : size;
  box.replaceChildren();
  const made = make("table", null, box, { class: "matrix" }), seeds = matrix.seeds + (matrix.seeds === 1 ? " seed" : " seeds");
  make("caption", matrix.label + ", " + matrix.split + ", " + seeds + (matrix.left ? "; the " + size + " classes that change most, " + matrix.left + " are left out" : ""), made);
  const top = make("tr", null, make("thead", null, made)), body = make("tbody", null, made);
  for (const heading of ["true class", "examples", ...matrix.classes.map((label) => names[label]), ...(others ? ["others"] : [])]) make("th", heading, top, { scope: "col" });
  matrix.classes.forEach((label, i) => {
    if (!matrix.n[i]) return;
    const row = make("tr", null, body);
    make("th", names[label], row, { scope: "row" });
    make("td", String(matrix.n[i]), row);
    for (let column = 0; column < columns; column += 1) answer(row, ...(held.get(i + "," + column) ?? [0, 0]), column === i);
  });
}

/** Draws the matrix that is chosen at a place; without one, says so. */
function chooseMatrix(at) {
  const chosen = Object.fromEntries([...document.querySelectorAll(`[data-confusion][data-at="${at}"]`)].map((select) => [select.dataset.confusion, select.value]));
  const box = document.querySelector(`[data-matrix="${at}"]`);
  const found = data.confusion.matrices.find((one) => one.place === at && one.label === chosen.label && one.split === chosen.split);
  if (found) drawMatrix(box, found);
  else { box.replaceChildren(); make("p", "Not in this page, or not measured; the query has what there is.", box, { class: "note" }); }
}

for (const select of document.querySelectorAll("[data-confusion]")) select.addEventListener("change", () => chooseMatrix(Number(select.dataset.at)));
for (const box of document.querySelectorAll("[data-matrix]")) if (!box.querySelector("table")) chooseMatrix(Number(box.dataset.matrix));
