// Pieces of a page that take their time: asked for once the page is there; those with data-every are there already, and
// are asked for again and again.

const copies = (place) => {
  for (const button of place.querySelectorAll("button[data-copies]"))
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copies).textContent.trim());
      button.textContent = button.dataset.copied;
    });
};

const told = (text) => {
  const line = document.createElement("p");
  line.className = "notice bad";
  line.textContent = text;
  return line;
};

const load = async (place) => {
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(place.dataset.piece, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
    const piece = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...piece.body.childNodes);
    copies(place);
  } catch {
    if (!place.dataset.every) place.replaceChildren(told(place.dataset.failed));
  } finally {
    place.removeAttribute("aria-busy");
  }
};

for (const place of document.querySelectorAll("[data-piece]")) {
  const every = Number(place.dataset.every ?? 0) * 1000;
  if (every) setInterval(() => document.hidden || place.contains(document.activeElement) || load(place), every);
  else load(place);
}
