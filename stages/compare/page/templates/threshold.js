// Another threshold: the slider moves the counts of every model at once; they were counted when the page was made.
const slider = document.querySelector("#slider-data") && JSON.parse(document.querySelector("#slider-data").textContent);
if (slider) {
  const [form, at, output, share, words] = ["slider", "slider-at", "slider-value", "slider-share", "slider-words"].map((id) => document.getElementById(id));
  const { grid, positives, negatives } = slider;
  const rows = new Map([...document.querySelectorAll("#slider-table tbody tr")].map((row) => [row.dataset.key, row]));
  const round = (value) => Number.isFinite(value) ? value.toFixed(3) : "–";
  const start = slider.models[0].own.threshold;
  const nearest = grid.reduce((best, value, i) => Math.abs(value - start) < Math.abs(grid[best] - start) ? i : best, 0);
  let own = true;
  const prevalence = () => share.value === share.defaultValue ? positives / (positives + negatives) : Math.min(Math.max(Number(share.value) / 100, 0), 1);
  const rates = (tp, fp) => {
    const [sensitivity, specificity, p] = [tp / positives, 1 - fp / negatives, prevalence()];
    const [ill, well] = [sensitivity * p, (1 - specificity) * (1 - p)];
    const [missed, cleared] = [(1 - sensitivity) * p, specificity * (1 - p)];
    return [sensitivity, specificity, ill / (ill + well), cleared / (cleared + missed)];
  };
  const draw = () => {
    for (const { key, tp, fp, own: chosen } of slider.models) {
      const [threshold, hits, alarms] = own ? [chosen.threshold, chosen.tp, chosen.fp] : [grid[at.value], tp[at.value], fp[at.value]];
      const counts = [hits, positives - hits, alarms, negatives - alarms];
      const cells = [String(Number(threshold.toFixed(4))), ...counts.map((n) => n.toLocaleString("en")), ...rates(hits, alarms).map(round)];
      cells.forEach((text, i) => {
        const cell = rows.get(key).cells[i + 1];
        cell.textContent = text;
        cell.dataset.value = text === "–" ? "" : text.replaceAll(",", "");
      });
    }
    const value = own ? "each model’s own" : String(grid[at.value]);
    output.textContent = value;
    at.setAttribute("aria-valuetext", value);
    const { key, tp, fp, own: chosen } = slider.models[0];
    const [hits, alarms] = own ? [chosen.tp, chosen.fp] : [tp[at.value], fp[at.value]];
    words.textContent = `${own ? "At its own threshold" : `At threshold ${value}`}, ${key} finds ${hits} of ${positives} and raises ${alarms} false alarms among ${negatives}.`;
  };
  at.value = nearest;
  at.addEventListener("input", () => { own = false; draw(); });
  share.addEventListener("input", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("slider-back").addEventListener("click", () => {
    own = true;
    at.value = nearest;
    share.value = share.defaultValue;
    draw();
  });
  form.hidden = false;
  draw();
}
