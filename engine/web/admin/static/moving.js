// How far the moves are: while any goes on, what has changed of them is put in place every two seconds.

const EVERY = 2000;

const renewed = async () => {
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const now = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const found = now.getElementById(part.id);
    if (!found || part.contains(document.activeElement)) continue;
    part.toggleAttribute("data-going", found.hasAttribute("data-going"));
    if (part.innerHTML !== found.innerHTML) part.replaceChildren(...document.importNode(found, true).childNodes);
  }
};

const look = async () => {
  if (document.querySelector("[data-going]") && !document.hidden) await renewed().catch(() => {});
  setTimeout(look, EVERY);
};

setTimeout(look, EVERY);
