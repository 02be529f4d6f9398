// The map of the features: one model, one kind of map and one colouring at a time; an image under the pointer or the keys.
const atlas = document.querySelector("#atlas-data");
if (atlas) {
  const { classes, columns, paths, label, models: places, colours } = JSON.parse(atlas.textContent);
  const [model, kind, colour] = ["model", "kind", "colour"].map((name) => document.querySelector(`#atlas-${name}`));
  const map = document.querySelector("#atlas-map");
  const panel = document.querySelector("#atlas-shown");
  const dots = [...map.querySelectorAll("circle")];
  let at = -1;
  const own = () => places[model.value];
  const outcome = (i) => own().predicted[i] < 0 ? 0 : own().predicted[i] === label[i] ? 1 : 2;
  const group = { class: (i) => label[i], split: (i) => own().use[i], prediction: outcome };
  const css = (hex) => `var(--c${hex.slice(1)}, ${hex})`;
  const place = (i) => [own()[`${kind.value}_x`][i], own()[`${kind.value}_y`][i]];
  const line = (tag, text, name) => Object.assign(document.createElement(tag), { textContent: text, className: name ?? "" });
  const draw = () => {
    dots.forEach((dot, i) => {
      const [x, y] = place(i);
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", y);
      dot.style.setProperty("--dot", css(colours[colour.value][group[colour.value](i)][1]));
    });
    document.querySelector("#atlas-legend").replaceChildren(...colours[colour.value].map(([name, hex]) => {
      const item = line("li", name);
      item.style.setProperty("--dot", css(hex));
      item.prepend(document.createElement("i"));
      return item;
    }));
    if (at >= 0) show(at);
  };
  const show = (i) => {
    dots[at]?.classList.remove("at");
    at = i;
    dots[i].classList.add("at");
    const thumb = line("div", "", "thumb");
    thumb.style.backgroundSize = `${columns * 9}rem`;
    thumb.style.backgroundPosition = `${-(i % columns) * 9}rem ${-Math.floor(i / columns) * 9}rem`;
    const predicted = own().predicted[i];
    const verdict = predicted < 0 ? line("div", "") : line("div", `${predicted === label[i] ? "✓" : "✗"} predicted ${classes[predicted]}`, predicted === label[i] ? "right" : "wrong");
    panel.replaceChildren(thumb, line("div", `Truth ${classes[label[i]]}, ${colours.split[own().use[i]][0]}`), verdict, line("span", paths[i], "where"));
  };
  const nearest = (x, y, fits = () => true) => {
    let best = -1, least = Infinity;
    for (let i = 0; i < paths.length; i++) {
      const [px, py] = place(i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least && fits(px - x, py - y, i)) [best, least] = [i, distance];
    }
    return best;
  };
  const pointed = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    show(nearest(point.x, point.y));
  };
  map.addEventListener("pointermove", pointed);
  map.addEventListener("pointerdown", pointed);
  const along = { ArrowRight: (x, y) => x > Math.abs(y), ArrowLeft: (x, y) => -x > Math.abs(y), ArrowDown: (x, y) => y > Math.abs(x), ArrowUp: (x, y) => -y > Math.abs(x) };
  map.addEventListener("keydown", (event) => {
    if (!along[event.key]) return;
    event.preventDefault();
    const next = at < 0 ? nearest(500, 360) : nearest(...place(at), (x, y, i) => i !== at && along[event.key](x, y));
    if (next >= 0) show(next);
  });
  [model, kind, colour].forEach((choice) => choice.addEventListener("change", draw));
  draw();
}
