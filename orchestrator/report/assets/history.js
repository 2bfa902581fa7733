// The history of an example over the epochs of unlearning: a panel for each model, and the same as a table.

/** Rows of the chart of a model: the example's curve, and the level after retraining from the first epoch to the last. */
function curves(rows) {
  const own = rows.map((row) => ({ panel: row.label, label: "unlearned", tone: "apart", epoch: row.epoch, value: row.value, low: row.low, high: row.high }));
  const ends = rows.filter((row) => row.without !== null && (row === rows[0] || row === rows[rows.length - 1]));
  return own.concat(ends.map((row) => ({ panel: row.label, label: "retrained", tone: "control", epoch: row.epoch, value: row.without, low: null, high: null })));
}

/** A value with its interval. */
function withEnds(value, low, high) {
  return { text: written(value, 2), small: low === null ? "" : written(low, 2) + " to " + written(high, 2) };
}

/** Adds the history of an example at a place to its dialog; says why there is none. */
function addHistory(id, at) {
  const rows = rowsAt("history", at).filter((row) => row.example === id);
  make("h4", "Over epochs of unlearning", dialog);
  if (!rows.length) {
    const [inside, of] = data.history[at] ?? [0, 0];
    make("p", of ? "Of " + of + " examples the " + inside + " most exposed have their history in this page; of this one:" : "Not recorded: shadow models were not observed after each epoch. This would:", dialog, { class: "note" });
    make("pre", of ? "python -m orchestrator.query example_history --param example=" + id : data.trajectories, dialog, { tabindex: "0" });
    return;
  }
  const labels = distinct(rows.map((row) => row.label)), epochs = distinct(rows.map((row) => row.epoch)).sort((a, b) => a - b);
  const box = make("div", null, dialog, { class: "many" }), drawn = [];
  for (const label of labels) {
    const panel = make("div", null, box), own = rows.filter((row) => row.label === label);
    make("p", label, panel, { class: "who" });
    drawn.push([make("div", null, panel, { class: "chart", role: "img", "aria-label": nameOf(id) + " over epochs, " + label, "aria-describedby": "history-caption" }), curves(own), label]);
  }
  make("p", "Confidence (logits) where it was unlearned, above that where it was never seen: mean over pairs of shadow models with 95 % intervals. Above 0 still remembered, below 0 forgotten too well; the level line is where retraining leaves it. The table below has the same numbers.", dialog, { class: "caption", id: "history-caption" });
  const lines = labels.map((label) => {
    const own = rows.filter((row) => row.label === label), { without, without_low: low, without_high: high } = own[0];
    const cells = epochs.map((epoch) => { const row = own.find((one) => one.epoch === epoch); return row ? withEnds(row.value, row.low, row.high) : ""; });
    return [label, ...cells, withEnds(without, low, high)];
  });
  table(dialog, ["model", ...epochs.map((epoch) => "epoch " + epoch), "retrained"], lines, "Over epochs of unlearning, " + nameOf(id));
  return () => { for (const [node, own, label] of drawn) draw(node, "history", own, label); };
}
