// A file of entries is sent as it is: it may be larger than what a form takes.

import { csrf } from "../base/asking.js";

const form = document.getElementById("import");
const file = form.querySelector("input[type=file]");
const told = document.getElementById("import-told");
file.closest("label").hidden = false;

form.addEventListener("submit", async (event) => {
  const chosen = file.files[0];
  if (!chosen) return;
  event.preventDefault();
  told.hidden = false;
  told.className = "notice";
  told.textContent = form.dataset.busy;
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { "content-type": "text/plain", "x-csrf-token": csrf(), accept: "application/json" },
      body: chosen,
    });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.detail);
    window.location = `/admin/suppression?added=${said.count}`;
  } catch (error) {
    told.className = "notice bad";
    told.textContent = error.message;
  }
});
