// The badge that says whether the page is fed.

export const badge = (on) => {
  const place = document.getElementById("live");
  place.textContent = on ? place.dataset.on : place.dataset.off;
  place.classList.toggle("good", on);
};
