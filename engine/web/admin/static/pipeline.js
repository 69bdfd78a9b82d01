// The pipeline, drawn by the server anew whenever its figures change.

import { listen } from "../base/events.js";
import { badge } from "./live.js";

const place = document.getElementById("picture");

listen(
  "/admin/pipeline/live",
  {
    picture: (text) => {
      const drawn = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
      place.replaceChildren(document.importNode(drawn, true));
    },
  },
  badge,
);
