// Values of curves: the nearest point of a line under the pointer, a finger or, with the arrow keys, the focus.
const tip = Object.assign(document.createElement("div"), { className: "reading", hidden: true });
tip.setAttribute("role", "status");
document.body.append(tip);
const vertices = (line) => { // of a matplotlib line: a path, or marks alone; [[x, y], …] in the units of its SVG
  const path = [...line.querySelectorAll("path")].find((part) => part.closest("defs") === null);
  if (!path) return [...line.querySelectorAll("use")].map((mark) => [Number(mark.getAttribute("x")), Number(mark.getAttribute("y"))]);
  const numbers = path.getAttribute("d").match(/-?[\d.]+(?:e-?\d+)?/g).map(Number);
  return numbers.flatMap((x, i) => i % 2 ? [] : [[x, numbers[i + 1]]]);
};
const onSegment = ([x, y], [ax, ay], [bx, by]) => {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const t = length ? Math.min(Math.max(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0), 1) : 0;
  return [ax + t * (bx - ax), ay + t * (by - ay)];
};
const gap = ([x, y], [px, py]) => Math.hypot(x - px, y - py);
const onLine = (point, points) => points.slice(1).map((end, i) => onSegment(point, points[i], end))
  .reduce((best, one) => gap(point, one) < gap(point, best) ? one : best, points[0]);
const short = (value) => Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
for (const svg of document.querySelectorAll("svg[data-axes]")) {
  let ready = null; // read at the first use: a page has many curves
  const axes = () => ready ??= JSON.parse(svg.dataset.axes).map((ax) => ({ ...ax, lines: ax.lines.map((line) => ({ ...line, points: vertices(document.getElementById(line.id)) })) }));
  const dot = document.createElementNS(svg.namespaceURI, "circle");
  dot.setAttribute("r", 4);
  dot.setAttribute("class", "reading-at");
  let at = null; // [axes, line, point]
  const scaled = ({ low, high, log }, part) => log ? low * (high / low) ** part : low + part * (high - low);
  const value = (ax, [x, y]) => [scaled(ax.x, (x - ax.box[0]) / ax.box[2]), scaled(ax.y, 1 - (y - ax.box[1]) / ax.box[3])];
  const snap = (ax, points, point) => { // where x counts epochs, only whole ones are values
    if (!ax.x.whole) return point;
    const epochs = Math.round(value(ax, point)[0]);
    const x = ax.box[0] + ax.box[2] * (epochs - ax.x.low) / (ax.x.high - ax.x.low);
    const i = points.findIndex(([px]) => px >= x - 0.01);
    if (i <= 0) return points[Math.max(i, 0)];
    const [[ax0, ay0], [bx0, by0]] = [points[i - 1], points[i]];
    return [x, ay0 + (by0 - ay0) * (x - ax0) / (bx0 - ax0)];
  };
  const show = (ax, line, point) => {
    at = [ax, line, point];
    const [x, y] = value(ax, point);
    const parts = [`${ax.x.name || "x"} ${ax.x.whole ? Math.round(x) : short(x)}`, `${ax.y.name} ${short(y)}`.trim()];
    const threshold = ax.y.name === "sensitivity" && thresholdAt(line.id, x, y);
    if (threshold) parts.push(threshold);
    tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: line.name }), parts.join(", "));
    (document.querySelector("dialog[open]") ?? document.body).append(tip);
    tip.hidden = false;
    svg.append(dot);
    dot.setAttribute("cx", point[0]);
    dot.setAttribute("cy", point[1]);
    const place = new DOMPoint(...point).matrixTransform(svg.getScreenCTM());
    tip.style.left = `${Math.min(Math.max(place.x + 14, 8), innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${place.y > 80 ? place.y - tip.offsetHeight - 12 : place.y + 16}px`;
  };
  const hide = () => { tip.hidden = true; dot.remove(); };
  const pointed = (event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const inside = axes().find(({ box }) => x > box[0] - 6 && x < box[0] + box[2] + 6 && y > box[1] - 6 && y < box[1] + box[3] + 6);
    if (!inside) return hide();
    const best = inside.lines.map((line) => [line, onLine([x, y], line.points)])
      .reduce((one, other) => gap([x, y], other[1]) < gap([x, y], one[1]) ? other : one);
    show(inside, best[0], snap(inside, best[0].points, best[1]));
  };
  svg.addEventListener("pointermove", pointed);
  svg.addEventListener("pointerdown", pointed);
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.setAttribute("tabindex", 0);
  svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")} Arrow keys read its values.`);
  svg.addEventListener("keydown", (event) => {
    const [along, across] = [{ ArrowRight: 1, ArrowLeft: -1 }[event.key], { ArrowDown: 1, ArrowUp: -1 }[event.key]];
    if (!along && !across) return;
    event.preventDefault();
    const all = axes().flatMap((ax) => ax.lines.map((line) => [ax, line]));
    let i = at ? all.findIndex(([, line]) => line === at[1]) : 0;
    if (across) i = (i + across + all.length) % all.length;
    const [ax, line] = all[i];
    const x = at && at[0] === ax ? at[2][0] : line.points[0][0];
    if (!at || across) return show(ax, line, snap(ax, line.points, line.points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a)));
    const step = ax.x.whole ? ax.box[2] / (ax.x.high - ax.x.low) : ax.box[2] / 50;
    const target = Math.min(Math.max(at[2][0] + along * step, line.points[0][0]), line.points.at(-1)[0]);
    const j = Math.max(line.points.findIndex(([px]) => px >= target), 1);
    show(ax, line, snap(ax, line.points, onSegment([target, at[2][1]], ...onEdges(line.points, j, target))));
  });
}
// The segment before vertex j, cut to where x is `target`: a steep one is crossed at one place, not at the nearest.
function onEdges(points, j, target) {
  const [[ax, ay], [bx, by]] = [points[j - 1], points[j]];
  const y = bx === ax ? by : ay + (by - ay) * (target - ax) / (bx - ax);
  return [[target, y], [target, y]];
}
// On a ROC curve: the threshold of the slider whose rates are nearest.
function thresholdAt(id, fpr, tpr) {
  const own = slider?.models.find(({ key }) => id.endsWith(`-${key}`));
  if (!own) return "";
  const away = slider.grid.map((_, i) => Math.abs(own.fp[i] / slider.negatives - fpr) + Math.abs(own.tp[i] / slider.positives - tpr));
  const least = Math.min(...away);
  const fits = slider.grid.filter((_, i) => away[i] <= least + 1e-9);
  return `threshold ${least < 0.002 ? "" : "≈ "}${fits[Math.floor(fits.length / 2)]}`;
}
