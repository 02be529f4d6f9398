// Every table as CSV, every figure as SVG or PNG, made here from what the page shows.
const PAPER = JSON.parse(document.querySelector("#figure-colours").textContent); // of figures on white paper
const save = (blob, name) => {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const plain = (text) => text.trim().replace(/\s+/g, " ").replaceAll("−", "-");
const large = (cell) => plain([...cell.childNodes].filter((node) => node.nodeName !== "SMALL").map((node) => node.textContent).join(""));
const smallPrint = (cell) => plain([...cell.querySelectorAll(":scope > small")].map((part) => part.textContent).join("; "));
const RANGE = /^([-+]?[\d.,]+)\s*(?:–|to)\s*([-+]?[\d.,]+)$/;
// Cells of a row: the value, unrounded where the page knows it, and the small print below it in columns of its own.
function csv(table) {
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  const heads = table.tHead ? [...table.tHead.rows].at(-1).cells : rows[0].cells;
  const columns = [...heads].map((head, i) => {
    const small = rows.map((row) => row.cells[i] ? smallPrint(row.cells[i]) : "");
    const printed = small.filter((text) => text !== "" && text !== "–");
    const empty = rows.every((row) => !row.cells[i] || (row.cells[i].dataset.value || large(row.cells[i])) === ""); // a drawing
    return { name: table.tHead ? large(head) : "", small, empty, any: printed.length > 0, range: printed.length > 0 && printed.every((text) => RANGE.test(text)) };
  });
  const quoted = (text) => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const first = columns.flatMap(({ name, any, range, empty }) => empty ? [] : range ? [name, `${name} low`, `${name} high`] : any ? [name, `${name} note`] : [name]);
  const body = rows.map((row, r) => columns.flatMap(({ small, any, range, empty }, i) => {
    if (empty) return [];
    const cell = row.cells[i];
    const value = cell ? cell.dataset.value || large(cell) : "";
    if (range) return [value, ...(RANGE.exec(small[r])?.slice(1).map((end) => end.replace("+", "")) ?? ["", ""])];
    return any ? [value, small[r]] : [value];
  }));
  return [...(table.tHead ? [first] : []), ...body].map((cells) => cells.map(quoted).join(",")).join("\n") + "\n";
}
function drawing(svg) { // as a file of its own: no variables of the page, on white
  const copy = svg.cloneNode(true);
  copy.querySelector(".reading-at")?.remove();
  const { width, height } = svg.viewBox.baseVal;
  for (const [name, value] of Object.entries({ width, height })) copy.setAttribute(name, value);
  for (const name of ["class", "style", "tabindex", "data-axes"]) copy.removeAttribute(name);
  const text = new XMLSerializer().serializeToString(copy);
  const coloured = text.replace(/var\((--[\w-]+)(?:,\s*([^)]*))?\)/g, (_, name, otherwise) => PAPER[name] ?? otherwise ?? "#000");
  const paper = `<rect width="${width}" height="${height}" fill="#ffffff"/>`;
  return { width, height, text: coloured.replace(/(<svg[^>]*>)/, `$1${paper}`) };
}
function png({ width, height, text }, name) {
  const image = new Image();
  image.onload = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 3 * width, height: 3 * height });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => save(blob, name));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}
const button = (label, about, press) => {
  const one = Object.assign(document.createElement("button"), { type: "button", textContent: label });
  one.setAttribute("aria-label", about);
  one.addEventListener("click", press);
  return one;
};
const equip = (part, buttons) => {
  const holder = document.createElement("div");
  holder.className = "equipped";
  part.replaceWith(holder);
  const tools = Object.assign(document.createElement("div"), { className: "tools" });
  tools.append(...buttons);
  holder.append(tools, part);
};
const names = new Map(); // of files: one section may have several tables
const named = (part) => {
  const base = part.closest("details.model")?.id ?? part.closest("section")?.id ?? "report";
  names.set(base, (names.get(base) ?? 0) + 1);
  return names.get(base) > 1 ? `${base}-${names.get(base)}` : base;
};
for (const table of document.querySelectorAll("main table")) {
  const name = named(table);
  const part = table.parentElement.matches(".scroll") ? table.parentElement : table;
  equip(part, [button("CSV", `Save the table ${name} as CSV`, () => save(new Blob([csv(table)], { type: "text/csv" }), `${name}.csv`))]);
}
for (const svg of document.querySelectorAll("main svg.plot")) {
  const name = svg.dataset.name;
  equip(svg.parentElement, [
    button("Enlarge", `Enlarge the figure ${name}`, () => enlarge(svg)),
    button("SVG", `Save the figure ${name} as SVG`, () => save(new Blob([drawing(svg).text], { type: "image/svg+xml" }), `${name}.svg`)),
    button("PNG", `Save the figure ${name} as PNG`, () => png(drawing(svg), `${name}.png`)),
  ]);
}
