// Any image or figure, large: Enter or a click opens it, arrows step through those of its section, Esc closes.
const zoom = document.createElement("dialog");
zoom.id = "zoom";
zoom.setAttribute("aria-label", "Enlarged");
zoom.innerHTML = '<div class="zoom-bar"><p></p><button type="button" class="toggle" data-step="-1">Previous</button><button type="button" class="toggle" data-step="1">Next</button><button type="button" class="toggle" data-close>Close</button></div><div class="zoom-stage"></div>';
document.body.append(zoom);
const stage = zoom.querySelector(".zoom-stage");
const ENLARGED = "main img.image, main img.wide, main svg.plot";
let album = [], page = 0, origin = null;
const putBack = () => { // a figure is moved into the dialog, not copied: its parts have ids
  origin?.mark.replaceWith(origin.figure);
  origin = null;
  stage.replaceChildren();
};
const turn = (to) => {
  putBack();
  page = (to + album.length) % album.length;
  const one = album[page];
  const label = one.alt ?? one.getAttribute("aria-label") ?? "";
  zoom.querySelector("p").textContent = `${label}${album.length > 1 ? ` (${page + 1} of ${album.length})` : ""}`;
  zoom.querySelectorAll("[data-step]").forEach((button) => { button.hidden = album.length < 2; });
  if (one.matches("svg")) {
    origin = { mark: document.createComment("enlarged"), figure: one };
    one.replaceWith(origin.mark);
    stage.append(one);
  } else {
    stage.append(Object.assign(document.createElement("img"), { src: one.src, alt: one.alt }));
  }
};
const enlarge = (one) => {
  const part = one.closest("section, details.model");
  album = [...part.querySelectorAll(ENLARGED)].filter((other) => other.closest("section, details.model") === part && other.getClientRects().length);
  turn(album.indexOf(one));
  zoom.showModal();
};
zoom.addEventListener("close", putBack);
zoom.addEventListener("click", (event) => {
  const step = Number(event.target.dataset.step);
  if (step) turn(page + step);
  if (event.target === zoom || "close" in event.target.dataset) zoom.close();
});
zoom.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step && !event.defaultPrevented && album.length > 1) turn(page + step);
});
for (const image of document.querySelectorAll("main img.image, main img.wide")) {
  image.tabIndex = 0;
  image.setAttribute("role", "button");
  image.setAttribute("aria-label", `Enlarge: ${image.alt}`);
  image.addEventListener("click", () => enlarge(image));
  image.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    enlarge(image);
  });
}
