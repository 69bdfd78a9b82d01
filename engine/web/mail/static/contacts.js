// Contacts: a file of vCards is sent as it is.

import { csrf } from "../base/asking.js";

const label = document.getElementById("import");
const told = document.getElementById("imported");
label.hidden = false;
label.querySelector("input").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  const response = await fetch("/mail/contacts/import", { method: "POST", headers: { "x-csrf-token": csrf(), accept: "application/json" }, body: file });
  const said = await response.json();
  const list = document.createElement("ul");
  for (const trouble of said.troubles ?? []) {
    const item = document.createElement("li");
    item.textContent = trouble;
    list.append(item);
  }
  told.className = `notice ${response.ok ? (said.troubles.length ? "warn" : "good") : "bad"}`;
  told.replaceChildren(said.told ?? said.detail, ...(list.childElementCount ? [list] : []));
  told.hidden = false;
  if (response.ok && !said.troubles.length) setTimeout(() => location.reload(), 1500);
});
