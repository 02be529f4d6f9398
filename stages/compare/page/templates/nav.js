// Contents: a link closes its group; the group of the section in view is marked; Esc and a click elsewhere close.
const groups = [...document.querySelectorAll("nav details")];
const close = (besides) => groups.forEach((group) => { if (group !== besides) group.open = false; });
addEventListener("click", (event) => close(event.target.closest("nav a") ? null : event.target.closest("nav details")));
addEventListener("keydown", (event) => {
  const group = event.key === "Escape" && groups.find((one) => one.open);
  if (!group) return;
  group.open = false;
  group.querySelector("summary").focus();
});
const places = groups.flatMap((group) => [...group.querySelectorAll("a")].map((link) => ({ group, link, section: document.querySelector(link.hash) })));
const where = () => {
  const line = innerHeight / 3;
  const at = places.filter(({ section }) => section?.getBoundingClientRect().top < line)
    .reduce((best, one) => best && best.section.getBoundingClientRect().top > one.section.getBoundingClientRect().top ? best : one, null);
  places.forEach(({ link }) => link === at?.link ? link.setAttribute("aria-current", "location") : link.removeAttribute("aria-current"));
  groups.forEach((group) => group.querySelector("summary").classList.toggle("at", group === at?.group));
};
addEventListener("scroll", where, { passive: true });
where();
