// Drill-down: the history of an example over models, statistics, attacks and epochs; the page of a method with all it is measured by.
const dialog = document.getElementById("example");

/** A heading with the example itself: its image, or its words. */
function exhibit(id, at) {
  const head = make("div", null, dialog, { class: "head" });
  const image = imageOf(id, at);
  if (image) make("img", null, head, { src: image, alt: data.noun + " " + id });
  const words = make("div", null, head);
  make("h3", data.noun + " " + nameOf(id), words, { id: "example-title" });
  make("p", data.places[at], words, { class: "note" });
  make("button", "close", head, { type: "button" }).addEventListener("click", () => dialog.close());
  if (!data.texts[id]) return;
  const quote = make("blockquote", null, dialog);
  for (const [text, kind] of data.texts[id]) {
    make(kind ? "mark" : "span", text, quote, kind ? { title: kind } : {});
    quote.append(" ");
  }
}

/** Opens the history of an example at a place. */
function showExample(id, at) {
  dialog.replaceChildren();
  exhibit(id, at);
  const rows = rowsAt("exposure", at).filter((row) => row.example === id);
  if (!rows.length) make("p", "This example is not among the dots that are drawn; the queries example_auc and excess_confidence have it.", dialog);
  for (const statistic of distinct(rows.map((row) => row.statistic))) {
    const own = rows.filter((row) => row.statistic === statistic).sort((a, b) => b.value - a.value);
    const tested = statistic !== "confidence"; // which is a distance from retraining already
    make("h4", "By " + statistic, dialog);
    table(dialog, ["model", ...(tested ? ["own AUC", "after retraining"] : ["logits above retrained"]), "stands out"], own.map((row) => [
      row.label, written(row.value, 2), ...(tested ? [written(row.without, 2)] : []), { text: row.told ? "yes" : "", look: row.told ? "apart" : "" },
    ]), "Exposure of " + nameOf(id) + " " + statistic);
  }
  const drawHistory = addHistory(id, at);
  dialog.showModal();
  drawHistory?.();
}

/** Opens the page of a method and brings it into view. */
function openMethod(method) {
  const page = [...document.querySelectorAll("[data-of-method]")].find((node) => node.dataset.ofMethod === method);
  if (!page) return;
  page.open = true;
  fillMethod(page);
  window.history.replaceState(null, "", "#method-" + encodeURIComponent(method));
  page.scrollIntoView();
  page.querySelector("summary").focus({ preventScroll: true });
}

/** Fills the page of a method with its measures, its harm, its price and its worst examples; once. */
function fillMethod(page) {
  const box = page.querySelector(".more"), method = page.dataset.ofMethod;
  if (box.childElementCount) return;
  const own = (name) => rowsOf(name).filter((row) => row.role === "audited" && row.method === method);
  const where = (row) => data.places[Array.isArray(row.place) ? row.place[0] : row.place];
  const ends = (row) => (row.low === null ? "\u2013" : written(row.low) + " to " + written(row.high));
  const tones = { "told apart": "apart", "shown equivalent": "equivalent" };
  const measured = own("forest");
  if (measured.length) {
    make("h3", "Measures", box);
    table(box, ["place", "model", "measure", "value", "retrained", "difference", "95 % interval", "p", "margin", "verdict", "what would settle it"], measured.map((row) => [
      where(row), row.label, row.measure + (row.family === "primary" ? " *" : ""), written(row.own), written(row.retrained), written(row.value), ends(row),
      row.p === null ? "\u2013" : row.p < 0.001 ? "< 0.001" : written(row.p), written(row.margin, 2), { text: row.verdict, look: tones[row.verdict] }, row.note,
    ]), "Measures of " + method);
  }
  const harmed = own("harm");
  if (harmed.length) {
    make("h3", "Harm", box);
    table(box, ["place", "model", "examples", "harmed", "interval", "helped"], harmed.map((row) => [
      where(row), row.label, row.examples, written(row.value, 4), ends(row), written(row.helped, 4),
    ]), "Harm of " + method);
  }
  const costs = own("cost");
  if (costs.length) {
    make("h3", "Cost", box);
    table(box, ["place", "model", "retraining = 1", "seeds from", "to", "seconds", "device"], costs.map((row) => [
      where(row), row.label, written(row.value), written(row.low), written(row.high), written(row.seconds, 2), row.device,
    ]), "Cost of " + method);
  }
  worst(box, own("exposure"), where);
}

/** The examples that a method exposes most, at each place by one statistic: those of several have no common order. */
function worst(box, rows, where) {
  const placeOf = (row) => (Array.isArray(row.place) ? row.place[0] : row.place);
  const told = rows.filter((row) => row.told && row.statistic === data.compare[placeOf(row)].statistic).sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, 12);
  if (!told.length) return;
  make("h3", "Its most exposed " + data.noun + "s", box);
  const gallery = make("div", null, box, { class: "gallery" });
  for (const row of told) {
    const at = placeOf(row);
    const button = make("button", null, gallery, { type: "button", class: "thumb tile", "data-example": row.example, "data-at": at });
    const image = imageOf(row.example, at);
    if (image) make("img", null, button, { src: image, alt: "" });
    make("b", "#" + row.example, button);
    make("span", where(row), button);
    make("span", row.label + ": " + written(row.value, 2) + (row.statistic === "confidence" ? " logits" : " AUC"), button);
  }
}
