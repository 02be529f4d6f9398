// Sort a table by the column whose heading is pressed; numbers high to low first, words a to z first.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, i) => row.cells[i].dataset.value ?? row.cells[i].textContent.trim();
  heads.forEach((head, i) => head.querySelector("button")?.addEventListener("click", () => {
    const rows = [...table.tBodies[0].rows];
    const numeric = rows.some((row) => value(row, i) !== "") && rows.every((row) => !Number.isNaN(Number(value(row, i))));
    const first = numeric && head.dataset.first !== "ascending" ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const missing = (text) => text === "";
    rows.sort((a, b) => {
      const [x, y] = [value(a, i), value(b, i)];
      if (missing(x) || missing(y)) return missing(x) - missing(y); // no value: last, either way
      return sign * (numeric ? Number(x) - Number(y) : x.localeCompare(y));
    });
    table.tBodies[0].append(...rows);
  }));
}

// A table or figure that is wider than the page says so.
const scrolling = [...document.querySelectorAll(".scroll, .figure-scroll")];
const mark = () => scrolling.forEach((part) => part.classList.toggle("wide", part.scrollWidth > part.clientWidth + 4));
addEventListener("resize", mark);
document.querySelectorAll("details").forEach((part) => part.addEventListener("toggle", mark));
mark();

const models = [...document.querySelectorAll("details.model")];
document.querySelector("#all")?.addEventListener("click", (event) => {
  const open = models.some((model) => !model.open);
  models.forEach((model) => { model.open = open; });
  event.target.textContent = open ? "Close all" : "Open all";
});
const follow = () => { // a link to a closed model opens it
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches("details")) { target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", follow);
follow();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
