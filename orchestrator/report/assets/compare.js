// Two chosen models of a place side by side. All texts are those that the page was made with; differences come paired.

/** The difference of two models on each measure, the first less the second; none where the page has none. */
function paired(one, first, second) {
  const found = one.pairs[Math.min(first, second) + "," + Math.max(first, second)];
  if (first === second || !found) return [];
  return first < second ? found : found.map((d) => d && (d.length === 2 ? [-d[0], d[1]] : [-d[0], -d[2], -d[1]]));
}

/** Examples that stand out under both, and how many do under each. */
function sharedBy(one, first, second, box) {
  const [name, , many] = one.models[first], [other, , more] = one.models[second], at = Number(box.dataset.shared);
  const silent = many ? (more ? null : other) : name;
  const found = one.shared[Math.min(first, second) + "," + Math.max(first, second)];
  const [count, shown] = silent === null && found ? found : [many, []];
  const bound = shown.length && count > shown.length ? "; " + shown.length + " of them are shown" : "";
  box.firstElementChild.textContent = silent === null
    ? "By " + one.statistic + " " + count + (count === 1 ? " example stands" : " examples stand") + " out under both, of " + many + " under " + name + " and " + more + " under " + other + bound + "."
    : "No example stands out under " + silent + ".";
  const faces = box.lastElementChild;
  faces.replaceChildren();
  for (const id of shown) {
    const face = make("button", null, faces, { type: "button", class: "thumb", "data-example": id, "data-at": at });
    const image = imageOf(id, at);
    if (image) make("img", null, face, { src: image, alt: "" });
    face.append("#" + id);
  }
}

/** A name in parts, which a narrow column may break behind an underscore. */
function breakable(name) {
  return (name.match(/[^_]*_|[^_]+/g) ?? []).flatMap((part, i) => i ? [document.createElement("wbr"), part] : [part]);
}

/** Fills the table of a place with the two models that are chosen. */
function compare(at) {
  const one = data.compare[at], made = document.querySelector(`[data-pairwise="${at}"]`);
  const [first, second] = ["first", "second"].map((side) => Number(document.querySelector(`[data-compare=${side}][data-at="${at}"]`).value));
  const differences = paired(one, first, second), heads = made.tHead.rows[0].cells, body = made.tBodies[0];
  heads[1].replaceChildren(...breakable(one.models[first][0]));
  heads[2].replaceChildren(...breakable(one.models[second][0]));
  body.replaceChildren();
  one.headings.forEach((heading, i) => {
    const cells = [first, second].map((model) => { const [text, small, look] = one.models[model][1][i]; return { text, small, look }; });
    const d = differences[i - one.measured[0]];
    line(body, [heading, ...cells, d ? { text: signed(d[0]), small: d.length === 2 ? "no interval: " + d[1] : between(d[1], d[2]) } : ""]);
  });
  sharedBy(one, first, second, document.querySelector(`[data-shared="${at}"]`));
}

for (const select of document.querySelectorAll("[data-compare]")) {
  select.addEventListener("change", () => compare(Number(select.dataset.at)));
}
for (const made of document.querySelectorAll("[data-pairwise]")) {
  if (made.tBodies[0].rows.length === 1) compare(Number(made.dataset.pairwise));
}
