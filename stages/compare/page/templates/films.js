// Films of all models that share an outcome, or of one model: the rest of the section steps aside.
const films = document.querySelector("#films");
if (films) {
  const [outcome, model, count] = ["films-outcome", "films-model", "films-count"].map((id) => document.getElementById(id));
  const section = document.querySelector("#models");
  const cards = [...section.querySelectorAll("details.model")];
  const kinds = new Set([...section.querySelectorAll("li[data-outcome]")].flatMap((film) => film.dataset.outcome.split(" ")));
  [...outcome.options].forEach((option) => { if (option.value && !kinds.has(option.value)) option.remove(); });
  const draw = () => {
    const filtered = Boolean(outcome.value || model.value);
    let shown = 0;
    for (const card of cards) {
      const own = [...card.querySelectorAll("li[data-outcome]")];
      own.forEach((film) => { film.hidden = Boolean(outcome.value) && !film.dataset.outcome.split(" ").includes(outcome.value); });
      card.querySelectorAll(".gallery").forEach((gallery) => gallery.classList.toggle("empty", !gallery.querySelector("li[data-outcome]:not([hidden])")));
      const left = !model.value || card.id === model.value ? own.filter((film) => !film.hidden).length : 0;
      card.hidden = filtered && !left;
      if (filtered) card.open = left > 0;
      shown += left;
    }
    section.classList.toggle("filtered", filtered);
    count.textContent = filtered ? `${shown} film${shown === 1 ? "" : "s"}` : "";
  };
  films.addEventListener("change", draw);
  document.querySelector("#films-all").addEventListener("click", () => { outcome.value = model.value = ""; draw(); });
  films.hidden = false;
}
