// Pieces of a page that take their time: asked for once the page is there; those with data-every are there already, and
// are asked for again and again; those with data-after anew when what stands in that place has become something else.

const told = (text) => {
  const line = document.createElement("p");
  line.className = "notice bad";
  line.textContent = text;
  return line;
};

const load = async (place) => {
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(place.dataset.piece, { headers: { accept: "text/html", "x-live": "1" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
    const piece = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...piece.body.childNodes);
  } catch {
    if (!place.dataset.every) place.replaceChildren(told(place.dataset.failed));
  } finally {
    place.removeAttribute("aria-busy");
  }
};

const follow = (place) => {
  const what = () => document.querySelector(place.dataset.after)?.textContent;
  let known = what();
  document.addEventListener("renewed", () => {
    if (what() === known) return;
    known = what();
    load(place);
  });
};

for (const place of document.querySelectorAll("[data-piece]")) {
  const every = Number(place.dataset.every ?? 0) * 1000;
  if (every) setInterval(() => document.hidden || place.contains(document.activeElement) || load(place), every);
  else load(place);
  if (place.dataset.after) follow(place);
}
