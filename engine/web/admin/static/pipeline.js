// The pipeline, drawn by the server anew whenever its figures change; whoever has chosen a link in it stays there.

import { listen } from "../base/events.js";
import { badge } from "./live.js";

const put = (id, drawn) => {
  const place = document.getElementById(id);
  const chosen = place.contains(document.activeElement) && document.activeElement.getAttribute("href");
  place.replaceChildren(...drawn.map((node) => document.importNode(node, true)));
  if (chosen) [...place.querySelectorAll("a")].find((one) => one.getAttribute("href") === chosen)?.focus();
};

const parsed = (text, kind) => new DOMParser().parseFromString(text, kind);

listen(
  "/admin/pipeline/live",
  {
    picture: (text) => put("picture", [parsed(text, "image/svg+xml").documentElement]),
    tables: (text) => put("tables", [...parsed(text, "text/html").body.children]),
  },
  badge,
);
